import Synchronization

/// Syncs: what a good one makes durable, and what a failed one loses.
extension Ledger {
    /// A sync begins.
    /// - Returns: Its number, and what was at risk when it began.
    func beginSync() -> (number: UInt32, atRisk: UInt64) {
        lock.withLock {
            record.pointee.syncsBegun &+= 1
            return (record.pointee.syncsBegun, atRisk)
        }
    }

    /// The key of the first leaf that was written out before sync `number` began and is not durable yet, or nil.
    func firstUnsynced(beforeSync number: UInt32) -> UInt64? {
        lock.withLock {
            let id = record.pointee.unsynced.head
            guard id != .none, Ledger.isLater(number, than: leaves[id].pointee.epoch) else { return nil }
            return leaves[id].pointee.key
        }
    }

    /// Marks the leaf durable after a good sync `number`, if it still was written out before that and has not been
    /// dirtied since: it is on no list then.
    /// - Returns: Whether it was, so that its bits are to be cleared.
    func markDurable(_ id: LeafID, bySync number: UInt32) -> Bool {
        lock.withLock {
            let leaf = leaves[id]
            guard leaf.pointee.status.list == .unsynced, Ledger.isLater(number, than: leaf.pointee.epoch) else {
                return false
            }
            unlink(id)
            return true
        }
    }

    /// The leaf's unsynced pages have become dirty again, after a failed sync.
    func dirtiedAgain(_ id: LeafID) {
        lock.withLock {
            leaves[id].pointee.dirtyEpoch = record.pointee.epoch
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
        }
    }

    /// How much has happened to the image that a failed sync would lose.
    var atRisk: UInt64 { record.pointee.atRisk.load(ordering: .sequentiallyConsistent) }

    /// Something that a failed sync would lose has happened to the image.
    func countAtRisk() { record.pointee.atRisk.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// So many base pages more (or fewer) are written out and not durable.
    func countUnsynced(_ pages: Int) {
        record.pointee.unsyncedPages.wrappingAdd(pages, ordering: .relaxed)
        dirtyLimit.countUnsynced(pages)
    }

    /// Base pages that are written out and not known to be durable.
    var unsyncedPages: Int { record.pointee.unsyncedPages.load(ordering: .relaxed) }

    /// A zero or trim of the image is about to be done: a sync that fails meanwhile may lose it.
    func beginChange() { record.pointee.changes.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    /// It has been done, or part of it.
    func endChange() {
        countAtRisk()
        record.pointee.changes.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
    /// Whether one is being done.
    var isChanging: Bool { record.pointee.changes.load(ordering: .sequentiallyConsistent) > 0 }

    /// A sync has failed. What is being written out now counts as not written out, because the image may have forgotten
    /// it already; called before what was written out earlier becomes dirty again.
    func countFailedSync(_ error: AccessError) {
        let count = syncFailureStamp & 0xFF_FFFF_FFFF_FFFF &+ 1
        record.pointee.syncFailureStamp.store(UInt64(error.code) << 56 | count, ordering: .sequentiallyConsistent)
    }

    /// Syncs that have failed (the low 56 bits), and how the last one did.
    var syncFailureStamp: UInt64 { record.pointee.syncFailureStamp.load(ordering: .sequentiallyConsistent) }

    /// The error of the last failed sync if there was one since `syncFailureStamp` was `count`.
    func syncFailure(since count: UInt64) -> AccessError? {
        let now = syncFailureStamp
        return now == count ? nil : AccessError(Int32(now >> 56))
    }
}
