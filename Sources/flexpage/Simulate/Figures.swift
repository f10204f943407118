/// The results of one simulation: one trace, one amount of memory, one way of paging.
struct Figures: Equatable {
    let trace: String
    /// The requested memory, bytes.
    let memory: Int
    /// The number of base pages that fit into it.
    let frames: Int
    let way: PagingWay
    let requests: Int
    /// Base pages that requests read. A page counts once per request.
    let pagesRead: Int
    /// Those that were not resident, so the client waited for the image.
    let misses: Int
    /// Reads of the image that no client waited for.
    let readsAhead: Int
    let traffic: Traffic

    /// Base pages read that were resident.
    var hits: Int { pagesRead - misses }

    /// The share of the pages read that were not resident; 0 if none was read.
    var missRatio: Double { pagesRead == 0 ? 0 : Double(misses) / Double(pagesRead) }

    /// Reads of the image that a client waited for.
    var readsAwaited: Int { traffic.reads - readsAhead }

    /// Average KiB per read of the image.
    var kibibytesPerRead: Double {
        traffic.reads == 0 ? 0 : Double(traffic.bytesRead) / 1024 / Double(traffic.reads)
    }

    /// The share of `other`'s I/Os that these results save; nil if `other` had none.
    func operationsSaved(against other: Figures) -> Double? {
        guard other.traffic.operations > 0 else { return nil }
        return 1 - Double(traffic.operations) / Double(other.traffic.operations)
    }
}
