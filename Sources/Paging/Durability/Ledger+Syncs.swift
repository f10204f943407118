/// Syncs: which leaves a good one makes durable, and which are dirty again after a failed one. See Durability.
extension Ledger {
    /// A sync begins.
    /// - Returns: Its number.
    func beginSync() -> UInt32 {
        lock.withLock {
            record.pointee.syncsBegun &+= 1
            return record.pointee.syncsBegun
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
}
