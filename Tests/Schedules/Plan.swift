import Paging

/// What is to happen in a schedule, apart from its order: it follows from a scenario and a seed.
struct Plan: Sendable {
    /// An image that clients share.
    struct Image: Sendable {
        var sectors = 64
        var zeroes = Zeroes.none
        var faults = WriteFaults()
    }

    var images = [Image()]
    /// Base pages that there is memory for.
    var frames = 24
    var dirtyShare = 0.4
    /// Milliseconds.
    var dirtyAge = 5000
    var isWriteThrough = false
    /// Threads that write back, with the one that keeps watch; 0 for no Writeback.
    var crew = 0
    /// Threads that read ahead; 0 for no Prefetcher.
    var prefetchers = 0
    var readahead = 0
    /// What is done beforehand, in one order.
    var preparation: [Request] = []
    /// What each client does.
    var clients: [[Request]] = []
    /// At the end everything is flushed, read, closed and counted.
    var seed: UInt64 = 0

    /// All requests, one a line.
    var description: String {
        clients.enumerated().map { number, requests in
            "    client \(number): " + requests.map(\.description).joined(separator: "; ")
        }.joined(separator: "\n")
    }

    var requestCount: Int { clients.reduce(0) { $0 + $1.count } }
}
