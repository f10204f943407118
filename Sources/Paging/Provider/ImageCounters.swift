import Synchronization

/// Of one image: what has happened so far, for whoever wants to know which image does how much.
///
/// Hits are counted for each shard, under its lock, because a hit must cost no atomic step. All else happens once for a
/// call of the Accessor, or for a page recycled. The counters lie in the Memory: a thread that recycles a page may work
/// for another image, and knows only this one's number.
///
/// Thread rules: any thread; `countHits` with the shard's lock. A copy counts in the same place. O(1).
struct ImageCounters: @unchecked Sendable {
    /// Base pages lent that were resident, for each shard.
    private let hits: UnsafeMutablePointer<UInt64>
    private let record: UnsafeMutablePointer<Record>
    private let shards: UnsafeMutablePointer<Shard>

    /// Atomic words, all zero before `prepare`.
    struct Record: ~Copyable {
        // No protocol depends on those of `Synchronization`, so a Scheduler draws no order at them: orders that differ
        // only here would crowd out others.
        let misses = Atomic<UInt64>(0)
        let zeroHits = Atomic<UInt64>(0)
        let fills = Atomic<UInt64>(0)
        let pagesFilled = Synchronization.Atomic<UInt64>(0)
        let pagesReadAhead = Synchronization.Atomic<UInt64>(0)
        let pagesReadAheadInVain = Synchronization.Atomic<UInt64>(0)
        let failedFills = Atomic<UInt64>(0)
        let recycles = Atomic<UInt64>(0)
        let writes = Atomic<UInt64>(0)
        let pagesWritten = Atomic<UInt64>(0)
        let failedWrites = Atomic<UInt64>(0)
        let waits = Synchronization.Atomic<UInt64>(0)
        let callsBegun = Synchronization.Atomic<UInt64>(0)
        let callsEnded = Synchronization.Atomic<UInt64>(0)
        /// Since when something has been dirty, milliseconds of the monotonic clock; 0 if nothing is.
        let dirtySince = Synchronization.Atomic<Int>(0)
    }

    init(image: UInt16, _ metadata: borrowing Metadata) {
        hits = metadata.imageHits + Int(image) * AccessMap.shardCount
        record = metadata.imageCounters + Int(image)
        shards = metadata.shards
    }

    /// The counters are a new image's. Others may look at them already (`WarmPace`, `Advisor`).
    func prepare() {
        for shard in 0..<AccessMap.shardCount {
            (shards + shard).lock()
            hits[shard] = 0
            (shards + shard).unlock()
        }
        record.zeroWords()
    }

    @inline(__always)
    func countHits(_ pages: UInt64, in chunk: borrowing LockedChunk) { hits[chunk.chunk.shardIndex] &+= pages }

    func countMisses(_ pages: Int) { record.pointee.misses.wrappingAdd(UInt64(pages), ordering: .relaxed) }

    func countFill(_ pages: Int) {
        record.pointee.fills.wrappingAdd(1, ordering: .relaxed)
        record.pointee.pagesFilled.wrappingAdd(UInt64(pages), ordering: .relaxed)
    }

    func countReadAhead(_ pages: UInt64) { record.pointee.pagesReadAhead.wrappingAdd(pages, ordering: .relaxed) }

    func countReadAheadInVain(_ pages: UInt64) {
        record.pointee.pagesReadAheadInVain.wrappingAdd(pages, ordering: .relaxed)
    }

    func countZeroHits(_ pages: UInt64) { record.pointee.zeroHits.wrappingAdd(pages, ordering: .relaxed) }
    func countFailedFill() { record.pointee.failedFills.wrappingAdd(1, ordering: .relaxed) }
    /// A request is about to sleep. The shard counts it too.
    func countWait() { record.pointee.waits.wrappingAdd(1, ordering: .relaxed) }
    func countRecycle() { record.pointee.recycles.wrappingAdd(1, ordering: .relaxed) }
    /// Reads, zeroes, trims, writes around the Memory and questions about holes that the Accessor has begun and ended.
    /// Write-outs and syncs are not among them: a flush waits for those.
    var calls: ImageCalls {
        // In this order no more calls are seen to have ended than to have begun.
        let ended = record.pointee.callsEnded.load(ordering: .acquiring)
        return ImageCalls(begun: record.pointee.callsBegun.load(ordering: .relaxed), ended: ended)
    }

    /// Runs a call of the Accessor that `calls` counts.
    @inline(__always)
    func countingCall<Result>(_ call: () throws(AccessError) -> Result) throws(AccessError) -> Result {
        record.pointee.callsBegun.wrappingAdd(1, ordering: .relaxed)
        defer { record.pointee.callsEnded.wrappingAdd(1, ordering: .releasing) }
        return try call()
    }

    func countFailedWrite() { record.pointee.failedWrites.wrappingAdd(1, ordering: .relaxed) }

    func countWrite(_ pages: Int) {
        record.pointee.writes.wrappingAdd(1, ordering: .relaxed)
        record.pointee.pagesWritten.wrappingAdd(UInt64(pages), ordering: .relaxed)
    }

    /// Notes since when something of the image has been dirty, milliseconds of the monotonic clock; nil if nothing is.
    func noteDirty(since time: Int?) { record.pointee.dirtySince.store(time ?? 0, ordering: .relaxed) }

    /// Since when something of the image has been dirty, as last noted.
    var dirtySince: Int? {
        let time = record.pointee.dirtySince.load(ordering: .relaxed)
        return time == 0 ? nil : time
    }

    /// A snapshot. What counts for the memory as a whole is 0 in it. O(shards), with the lock of each in turn.
    var snapshot: Counters {
        var counters = Counters()
        for shard in 0..<AccessMap.shardCount {
            (shards + shard).lock()
            counters.hits &+= hits[shard]
            (shards + shard).unlock()
        }
        counters.misses = record.pointee.misses.load(ordering: .relaxed)
        counters.zeroHits = record.pointee.zeroHits.load(ordering: .relaxed)
        counters.fills = record.pointee.fills.load(ordering: .relaxed)
        counters.pagesFilled = record.pointee.pagesFilled.load(ordering: .relaxed)
        counters.pagesReadAhead = record.pointee.pagesReadAhead.load(ordering: .relaxed)
        counters.pagesReadAheadInVain = record.pointee.pagesReadAheadInVain.load(ordering: .relaxed)
        counters.failedFills = record.pointee.failedFills.load(ordering: .relaxed)
        counters.recycles = record.pointee.recycles.load(ordering: .relaxed)
        counters.writes = record.pointee.writes.load(ordering: .relaxed)
        counters.pagesWritten = record.pointee.pagesWritten.load(ordering: .relaxed)
        counters.failedWrites = record.pointee.failedWrites.load(ordering: .relaxed)
        counters.waits = record.pointee.waits.load(ordering: .relaxed)
        return counters
    }
}
