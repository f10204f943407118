/// What has happened so far, over all images; a snapshot.
public struct Counters: Sendable, Equatable {
    /// Base pages lent to clients that were resident when they were asked for.
    public var hits: UInt64 = 0
    /// Base pages that had to be populated for a client.
    public var misses: UInt64 = 0
    /// Base pages that clients read as zeroes without their being resident, because they were known to be.
    public var zeroHits: UInt64 = 0
    /// Base pages that are known to be zeroes and not resident, now.
    public var knownZeroes: UInt64 = 0
    /// Reads of the image that ended well; each may have populated many pages.
    public var fills: UInt64 = 0
    /// Reads of the image that failed.
    public var failedFills: UInt64 = 0
    /// Flexpages whose memory was taken for others.
    public var recycles: UInt64 = 0
    /// Base pages moved inside the memory so that others could have a large piece of it.
    public var moves: UInt64 = 0
    /// Writes of the image that ended well, and the base pages in them.
    public var writes: UInt64 = 0
    public var pagesWritten: UInt64 = 0
    /// Writes of the image that failed.
    public var failedWrites: UInt64 = 0
    /// Base pages that are newer than the image, now.
    public var dirtyPages: UInt64 = 0
    /// Base pages that may be that before writers wait, now; and times that a writer has waited for it.
    public var allowedDirtyPages: UInt64 = 0
    public var dirtyWaits: UInt64 = 0
    /// Times that a request slept until another had filled, given back or freed a page.
    public var waits: UInt64 = 0
    /// Bytes of pages in use and of all paging metadata, now and at the most so far. Never more than `memory=`.
    public var bytesInUse: UInt64 = 0
    public var peakBytesInUse: UInt64 = 0

    public init() {}

    mutating func add(_ shard: Shard) {
        hits += shard.hits
        misses += shard.misses
        zeroHits += shard.zeroHits
        knownZeroes += shard.knownZeroes
        fills += shard.fills
        failedFills += shard.failedFills
        recycles += shard.recycles
        moves += shard.moves
        waits += shard.waits
        writes += shard.writes
        pagesWritten += shard.pagesWritten
        failedWrites += shard.failedWrites
    }
}
