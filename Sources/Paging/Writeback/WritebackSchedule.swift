/// Of one image: what the Writeback knows about it, and when it acts next.
///
/// Thread rules: used by the thread that looks after the image, one at a time. All times are milliseconds of the
/// monotonic clock.
struct WritebackSchedule {
    /// The opening of the image that this is about (`Provider.opening`).
    let opening: UInt64
    /// When epochs ended.
    var epochs = EpochHistory()
    /// When to try again what could not be written out, and flushes that clients have left behind.
    var nextRetry = 0
    /// When the Writeback may sync again by itself after a sync that failed.
    var nextSync = 0
    /// When to note again what the image looks like.
    var nextStamp = 0

    /// The epoch of what has been dirty for the longest time, and since when it has been.
    private var oldestDirty: (epoch: UInt32, since: Int)?

    init(opening: UInt64) { self.opening = opening }

    /// Begins anew if it is about another opening: another image may have had the number before.
    mutating func begin(opening: UInt64) {
        assert(opening > 0, "openings are counted from 1")
        if self.opening != opening { self = WritebackSchedule(opening: opening) }
    }

    /// Since when something has been dirty, as exactly as epochs are noted; nil if nothing is.
    /// - Parameter epoch: The oldest epoch of which something is dirty.
    /// - Parameter hasFailed: Whether something could not be written out. With each attempt that gets a later epoch,
    ///   and is as old as it was.
    mutating func dirtySince(_ epoch: UInt32?, hasFailed: Bool, now: Int) -> Int? {
        guard let epoch else {
            oldestDirty = nil
            return nil
        }
        if let oldestDirty, oldestDirty.epoch == epoch { return oldestDirty.since }
        var since = epochs.end(of: epoch) ?? now
        if hasFailed, let oldestDirty { since = min(since, oldestDirty.since) }
        oldestDirty = (epoch, since)
        return since
    }
}
