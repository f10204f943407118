/// Syncs: which leaves a good one makes durable, and which are dirty again after a failed one. See Durability.
extension Ledger {
    /// A sync begins. One at a time.
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

    /// Takes the leaf off the unsynced list after a good sync `number`, if it was written out before that sync began
    /// and has not been dirtied since.
    /// - Returns: Whether it has. Then the caller clears the leaf's bits.
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

    /// Unsynced pages of the leaf, which is on the unsynced list, have become dirty again after a failed sync.
    func dirtiedAgain(_ id: LeafID) {
        lock.withLock {
            assert(leaves[id].pointee.status.list == .unsynced, "what becomes dirty again was unsynced")
            leaves[id].pointee.dirtyEpoch = record.pointee.epoch
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
        }
    }
}
