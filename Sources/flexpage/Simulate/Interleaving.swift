/// The requests of several traces in the order in which one memory serves them.
///
/// If all traces have times, each begins with its first request, and time decides. Otherwise each trace has its turn, a
/// request at a time, until it has none left.
struct Interleaving: Sequence, IteratorProtocol {
    /// A request, and the index of its trace.
    struct Element {
        let trace: Int
        let request: TraceRequest
    }

    private let traces: [Trace]
    private let isTimed: Bool
    /// The index of the next request of each trace.
    private var positions: [Int]
    /// The trace whose turn it is, if time does not decide.
    private var turn = 0

    init(_ traces: [Trace]) {
        self.traces = traces
        isTimed = traces.count > 1 && traces.allSatisfy(\.hasTimes)
        positions = Array(repeating: 0, count: traces.count)
    }

    mutating func next() -> Element? {
        guard let trace = isTimed ? earliest : nextInTurn else { return nil }
        turn = trace + 1
        defer { positions[trace] += 1 }
        return Element(trace: trace, request: traces[trace].requests[positions[trace]])
    }

    private func hasMore(_ trace: Int) -> Bool { positions[trace] < traces[trace].requests.count }

    private var nextInTurn: Int? {
        for index in turn..<turn + traces.count where hasMore(index % traces.count) { return index % traces.count }
        return nil
    }

    private var earliest: Int? {
        traces.indices.filter(hasMore).min { time($0) < time($1) }
    }

    /// Microseconds from the first request of the trace to its next one, or the nearest number that there is.
    private func time(_ trace: Int) -> Int64 {
        let requests = traces[trace].requests
        let (now, begin) = (requests[positions[trace]].time ?? 0, requests[0].time ?? 0)
        let (time, isTooFar) = now.subtractingReportingOverflow(begin)
        return isTooFar ? (now < begin ? .min : .max) : time
    }
}
