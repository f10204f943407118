/// A snapshot of what has happened so far, over all images (`Pages.counters`) or to one (`Provider.counters`).
public struct Counters: Sendable, Equatable {
    /// Base pages lent to clients that were resident when a client wanted them.
    public var hits: UInt64 = 0
    /// Base pages that had to be populated for a client.
    public var misses: UInt64 = 0
    /// Base pages that clients read as zeroes although they were not resident, because they were known to be zeroes.
    public var zeroHits: UInt64 = 0
    /// Base pages that are known to be zeroes and not resident, at present.
    public var knownZeroes: UInt64 = 0
    /// Reads of an image that succeeded; each may have populated many pages.
    public var fills: UInt64 = 0
    /// The base pages in these reads, with those that were resident already.
    public var pagesFilled: UInt64 = 0
    /// Of these, base pages that were read ahead.
    public var pagesReadAhead: UInt64 = 0
    /// Of these, base pages that were recycled before anybody used them.
    public var pagesReadAheadInVain: UInt64 = 0
    /// Reads of an image that failed.
    public var failedFills: UInt64 = 0
    /// Flexpages whose memory was taken for others.
    public var recycles: UInt64 = 0
    /// Base pages moved inside the memory so that other flexpages could have a large piece of it.
    public var moves: UInt64 = 0
    /// Writes of an image that succeeded.
    public var writes: UInt64 = 0
    /// The base pages in these writes.
    public var pagesWritten: UInt64 = 0
    /// Writes of an image that failed.
    public var failedWrites: UInt64 = 0
    /// Base pages that are newer than the image, at present.
    public var dirtyPages: UInt64 = 0
    /// The number of dirty base pages at which writers wait, at present.
    public var allowedDirtyPages: UInt64 = 0
    /// How many times a writer has waited there.
    public var dirtyWaits: UInt64 = 0
    /// How many times a request slept: until another one had filled, given back or freed a page, or until the image's
    /// share of the fills allowed another.
    public var waits: UInt64 = 0
    /// Bytes of pages in use and of all paging metadata, at present. Never more than `memory=`.
    public var bytesInUse: UInt64 = 0
    /// The maximum of `bytesInUse` so far.
    public var peakBytesInUse: UInt64 = 0

    public init() {}

    mutating func add(_ shard: Shard) {
        hits += shard.hits
        misses += shard.misses
        zeroHits += shard.zeroHits
        knownZeroes += shard.knownZeroes
        fills += shard.fills
        pagesFilled += shard.pagesFilled
        pagesReadAhead += shard.pagesReadAhead
        pagesReadAheadInVain += shard.pagesReadAheadInVain
        failedFills += shard.failedFills
        recycles += shard.recycles
        moves += shard.moves
        waits += shard.waits
        writes += shard.writes
        pagesWritten += shard.pagesWritten
        failedWrites += shard.failedWrites
    }
}
