import Testing

@testable import flexpage

/// The order of recycling on traces of real machines, at pages of 4 KiB, against what libCacheSim reports for LRU
/// there.
@Suite(.enabled(if: RealTraces.areThere, "needs the folder of traces that FLEXPAGE_TRACES names"))
struct RealTracesTests {
    struct Trial: Sendable {
        let trace: String
        /// Miss ratios with 16, 64 and 256 MiB.
        let leastRecentlyUsed: [Double]
    }

    #if DEBUG
        /// All of them would take minutes without optimisation.
        static let trials = [Trial(trace: "P3", leastRecentlyUsed: [0.860, 0.515, 0.181])]
        /// The mean of S3-FIFO's miss ratios on them.
        static let goal = (0.748 + 0.456 + 0.188) / 3
    #else
        static let trials = [
            Trial(trace: "P3", leastRecentlyUsed: [0.860, 0.515, 0.181]),
            Trial(trace: "P12", leastRecentlyUsed: [0.820, 0.651, 0.336]),
            Trial(trace: "cloudphysics", leastRecentlyUsed: [0.896, 0.884, 0.751]),
        ]
        static let goal = 0.604
    #endif

    /// Better than S3-FIFO on average, and nowhere much worse than LRU.
    @Test func missesLess() throws {
        var report = Report(writes: false)
        for trial in RealTracesTests.trials {
            let trace = try Trace(path: RealTraces.path(trial.trace))
            for (memory, others) in zip([16 << 20, 64 << 20, 256 << 20], trial.leastRecentlyUsed) {
                let figures = try Simulation(memory: memory, way: .fixed).run(trace)
                #expect(figures.missRatio <= others + 0.005, "\(trial.trace) with \(memory >> 20) MiB")
                report.add(figures)
            }
        }
        #expect(report.meanMissRatio(.fixed)! < RealTracesTests.goal)
    }
}
