/// What a simulation of one trace with one amount of memory has shown.
struct Figures: Equatable {
    let trace: String
    /// The memory that was asked for, bytes.
    let memory: Int
    /// The base pages that there was room for.
    let frames: Int
    let way: PagingWay
    let requests: Int
    /// Base pages that were read, each once a request.
    let pagesRead: Int
    /// Base pages among them that were not resident: the client waited for the image.
    let misses: Int
    /// Reads of the image that no client waited for.
    let readsAhead: Int
    let traffic: Traffic

    /// Of what was read, the share that was not resident; 0 where nothing was read.
    var missRatio: Double { pagesRead == 0 ? 0 : Double(misses) / Double(pagesRead) }

    /// Reads of the image that a client waited for.
    var readsAwaited: Int { traffic.reads - readsAhead }

    /// KiB in a read of the image, on average.
    var kibibytesPerRead: Double {
        traffic.reads == 0 ? 0 : Double(traffic.bytesRead) / 1024 / Double(traffic.reads)
    }

    /// The share of `other`'s I/Os that these do without; nil where that had none.
    func operationsSaved(against other: Figures) -> Double? {
        guard other.traffic.operations > 0 else { return nil }
        return 1 - Double(traffic.operations) / Double(other.traffic.operations)
    }
}
