import Paging

/// What happens in a schedule, apart from the order. It follows from a scenario and a seed. At the end, all images are
/// flushed, read and closed, and frames are counted.
struct Plan: Sendable {
    /// An image, which clients share.
    struct Image: Sendable {
        var sectors = 64
        var zeroes = Zeroes.none
        var faults = WriteFaults()
    }

    var images = [Image()]
    /// The number of base pages that memory has room for.
    var frames = 24
    var dirtyShare = 0.4
    /// In milliseconds.
    var dirtyAge = 5000
    var isWriteThrough = false
    /// Threads of the Writeback, including the one that keeps watch; 0 for no Writeback.
    var crew = 0
    /// Threads that read ahead; 0 for no Prefetcher.
    var prefetchers = 0
    var readahead = 0
    /// The number of base pages in a block, which the memory becomes smaller and larger by; 0 if it keeps its size.
    var framesOfBlock = 0
    /// Requests that are done first, in this order.
    var preparation: [Request] = []
    /// The requests of each client.
    var clients: [[Request]] = []
    /// Whether the memory is kept for the next server.
    var keeps = false
    var death: Death?
    /// The moments at which power is lost.
    var powerLosses = PowerLoss.Moments.all
    var seed: UInt64 = 0

    /// All requests, one client per line, and the death.
    var description: String {
        let lines = clients.enumerated().map { number, requests in
            "client \(number): " + requests.map(\.description).joined(separator: "; ")
        }
        return (lines + (death.map { [$0.description] } ?? [])).map { "    \($0)" }.joined(separator: "\n")
    }

    var requestCount: Int { clients.reduce(0) { $0 + $1.count } }
}
