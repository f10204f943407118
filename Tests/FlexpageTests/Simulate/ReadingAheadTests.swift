import TestSupport
import Testing

@testable import flexpage

/// Reading ahead pays, whatever the accesses are: the figures of simulations with it beside those without.
@Suite struct ReadingAheadTests {
    /// Readers that differ in how far they go on.
    enum Load: CaseIterable {
        /// Reads anywhere, of one page to sixteen.
        case random
        /// Runs of 12 to 48 pages, each read once.
        case shortRuns
        /// 300 such runs that are read again and again, in any order.
        case runsAgain
        /// Four such runs at a time, in turns.
        case runsInTurns
        /// A few reads near one another, upwards with gaps.
        case sparse
        /// One reader of 96 MiB from end to end, and others that read runs.
        case streamAmongRuns
    }

    /// A trace of base pages: where each request begins and how many it reads.
    private static func trace(_ load: Load) throws -> Trace {
        var random = SplitMix64(seed: 18)
        var requests: [(page: Int, count: Int)] = []
        func run(at page: Int, _ length: Int) {
            for step in stride(from: 0, to: length, by: 4) { requests.append((page + step, 4)) }
        }
        func place(_ random: inout SplitMix64) -> Int { random.pick(0...2_000_000) }
        switch load {
        case .random:
            for _ in 0..<20_000 { requests.append((place(&random), random.length(upTo: 16))) }
        case .shortRuns:
            for _ in 0..<3000 { run(at: place(&random), 4 * random.pick(3...12)) }
        case .runsAgain:
            let runs = (0..<300).map { _ in (place(&random), 4 * random.pick(3...12)) }
            for _ in 0..<4000 {
                let (page, length) = runs[random.pick(0...299)]
                run(at: page, length)
            }
        case .runsInTurns:
            for _ in 0..<800 {
                let pages = (0..<4).map { _ in place(&random) }
                for step in 0..<random.pick(3...12) { for page in pages { requests.append((page + 4 * step, 4)) } }
            }
        case .sparse:
            for _ in 0..<4000 {
                var page = place(&random)
                for _ in 0..<random.pick(1...6) {
                    requests.append((page, 2))
                    page += random.pick(3...30)
                }
            }
        case .streamAmongRuns:
            for step in 0..<6000 {
                requests.append((3_000_000 + 4 * step, 4))
                if step % 12 == 0 { run(at: place(&random), 4 * random.pick(1...8)) }
            }
        }
        return try Trace(lines: requests.map { "R,\($0.page * 4096),\($0.count * 4096)" })
    }

    /// No more reads are waited for than without it, and no source takes longer. At most 30 % more bytes are read: an
    /// eighth on the image's account, an eighth that streams deserve, and the pages that these have pushed out. There
    /// is also what an image may waste before it has learnt anything.
    @Test(arguments: Load.allCases, [4, 16, 64]) func pays(load: Load, mebibytes: Int) throws {
        let trace = try ReadingAheadTests.trace(load)
        let off = try Simulation(memory: mebibytes << 20, way: .flexible).run(trace)
        let ahead = try Simulation(memory: mebibytes << 20, way: .ahead).run(trace)
        #expect(ahead.readsAwaited <= off.readsAwaited)
        let atFirst = Double(max(4 << 20, 10 * min(4 << 20, (mebibytes << 20) / 30)))
        #expect(Double(ahead.traffic.bytesRead) <= 1.3 * Double(off.traffic.bytesRead) + atFirst)
        for source in SimulatedSource.allCases {
            #expect(source.seconds(ahead) <= 1.03 * source.seconds(off), "\(source)")
        }
    }

    /// Eight sequential readers in turns miss three times each, with much memory and with little.
    @Test(arguments: [4, 16, 64]) func sequentialReadersMissThreeTimes(mebibytes: Int) throws {
        let pages = (0..<8 * 1000).map { $0 % 8 * 100_000 + $0 / 8 }
        let figures = try Simulation(memory: mebibytes << 20, way: .ahead).run(try Trace(reading: pages))
        #expect(figures.readsAwaited == 24)
    }

    /// On traces of real machines, reading ahead costs at most the given part more bytes, and less waiting.
    @Test(
        .enabled(if: RealTraces.areThere, "needs the folder of traces that FLEXPAGE_TRACES names"),
        arguments: [("P3", 1.15), ("wsrch", 1.3)])
    func paysOnRealMachines(name: String, maxBytes: Double) throws {
        let trace = try Trace(path: RealTraces.path(name))
        for mebibytes in [8, 64] {
            let off = try Simulation(memory: mebibytes << 20, way: .flexible).run(trace)
            let ahead = try Simulation(memory: mebibytes << 20, way: .ahead).run(trace)
            #expect(ahead.readsAwaited < off.readsAwaited)
            #expect(Double(ahead.traffic.bytesRead) <= maxBytes * Double(off.traffic.bytesRead))
            for source in SimulatedSource.allCases {
                #expect(source.seconds(ahead) <= 1.03 * source.seconds(off), "\(source)")
            }
        }
    }
}
