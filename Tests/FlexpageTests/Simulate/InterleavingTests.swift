import Testing

@testable import flexpage

/// The order in which the requests of several traces are served.
@Suite struct InterleavingTests {
    /// The trace and the base page of each request, in order.
    private func order(_ traces: [Trace]) -> [[Int]] {
        Interleaving(traces).map { [$0.trace, Int($0.request.offset) / 4096] }
    }

    private func timed(_ requests: [(time: Int, page: Int)]) throws -> Trace {
        try Trace(lines: ["fio version 3 iolog"] + requests.map { "\($0.time) /a read \($0.page * 4096) 4096" })
    }

    /// Without times they take turns. When one has no more, the others go on.
    @Test func tracesTakeTurns() throws {
        let traces = [try Trace(reading: [1, 2, 3, 4]), try Trace(reading: [10]), try Trace(reading: [20, 21])]
        #expect(order(traces) == [[0, 1], [1, 10], [2, 20], [0, 2], [2, 21], [0, 3], [0, 4]])
    }

    /// Times since the first request of each trace decide, and at the same time the order of the traces.
    @Test func timesDecide() throws {
        let traces = [
            try timed([(100, 1), (110, 2), (150, 3)]), try timed([(7000, 10), (7005, 11), (7010, 12), (7060, 13)]),
        ]
        #expect(order(traces) == [[0, 1], [1, 10], [1, 11], [0, 2], [1, 12], [0, 3], [1, 13]])
    }

    /// Times that are too far apart for a number do not end the program.
    @Test func timesThatAreTooFarApart() throws {
        let traces = [try timed([(.min, 1), (0, 2), (.max, 3)]), try timed([(0, 10), (1, 11), (.min, 12)])]
        #expect(order(traces) == [[0, 1], [1, 10], [1, 11], [1, 12], [0, 2], [0, 3]])
    }

    /// If one trace has no times, the others' do not count.
    @Test func onlyTheTimesOfAllCount() throws {
        let traces = [try timed([(0, 1), (1, 2)]), try Trace(reading: [10, 11])]
        #expect(order(traces) == [[0, 1], [1, 10], [0, 2], [1, 11]])
    }

    /// The requests of one trace stay in their order, even if their times do not.
    @Test func aTraceKeepsItsOrder() throws {
        #expect(order([try timed([(5, 1), (3, 2), (9, 3)])]) == [[0, 1], [0, 2], [0, 3]])
        let two = [try timed([(5, 1), (3, 2), (9, 3)]), try timed([(0, 10), (2, 11)])]
        #expect(order(two).filter { $0[0] == 0 }.map { $0[1] } == [1, 2, 3])
    }
}
