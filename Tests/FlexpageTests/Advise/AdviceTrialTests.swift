import Testing

@testable import flexpage

/// Advice against full simulations, on small traces that are made here and on the beginnings of real ones. Always the
/// same accesses, so always the same errors.
@Suite struct AdviceTrialTests {
    #if DEBUG
        /// More would take minutes without optimisation.
        private static let (requests, memory) = (4000, 8 << 20)
        private static let traces = ["lirs-multi3"]
    #else
        private static let (requests, memory) = (40_000, 16 << 20)
        private static let traces = ["P3", "P12", "cloudphysics", "wsrch", "lirs-multi3"]
    #endif

    private func meanError(_ trace: Trace, _ way: PagingWay) throws -> Double {
        let trial = AdviceTrial(trace: trace, memory: AdviceTrialTests.memory, way: way)
        let errors = try trial.errors(of: try trial.advice())
        return errors.reduce(0, +) / Double(errors.count)
    }

    /// Some pages much more often than others, requests of several pages, and scans between.
    @Test(arguments: [PagingWay.fixed, .ahead]) func madeTraces(way: PagingWay) throws {
        var state: UInt64 = 12345
        func random() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / Double(1 << 53 as UInt64)
        }
        var lines: [String] = []
        for access in 0..<AdviceTrialTests.requests {
            let uniform = random()
            let rank = Int(20_000 * uniform * uniform * uniform)
            lines.append("R,\((rank &* 7919 % 80_021) * 4096),\(access % 4 == 0 ? 16_384 : 4096)")
            if access % 10_000 == 5000 {
                for page in 0..<2000 { lines.append("R,\((100_000 + access + page * 2) * 4096),8192") }
            }
        }
        let error = try meanError(try Trace(lines: lines), way)
        #expect(error <= 0.02, "\(way): \(error)")
    }

    /// The beginnings of traces of real machines.
    @Test(.enabled(if: RealTraces.areThere, "needs the folder of traces that FLEXPAGE_TRACES names"), arguments: traces)
    func realTraces(name: String) throws {
        let whole = try Trace(path: RealTraces.path(name))
        let lines = whole.requests.prefix(AdviceTrialTests.requests).map { request in
            "R,\(request.range.lowerBound),\(request.range.count)"
        }
        let error = try meanError(try Trace(lines: lines), .ahead)
        #expect(error <= 0.02, "\(name): \(error)")
    }

    /// Too little memory is refused with what would be enough.
    @Test func littleMemory() throws {
        let trial = AdviceTrial(trace: try Trace(reading: [1, 2, 3]), memory: 1 << 20, way: .fixed)
        #expect {
            _ = try trial.advice()
        } throws: { error in
            "\(error)".contains("1M is too little for advice; expected at least ")
        }
    }
}
