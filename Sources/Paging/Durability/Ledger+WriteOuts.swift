/// Epochs and write-outs: what a flush has to write out, and what has become of it.
extension Ledger {
    /// Ends the current epoch.
    /// - Returns: Its number. What has been dirtied so far has this number or an earlier one.
    func endEpoch() -> UInt32 {
        lock.withLock {
            defer { record.pointee.epoch &+= 1 }
            return record.pointee.epoch
        }
    }

    /// Copies the keys of the oldest dirty leaves into `keys`, as many as fit.
    /// - Parameter epoch: Only leaves that this epoch or an earlier one dirtied.
    /// - Parameter includingFailed: Leaves whose write-out has failed too.
    /// - Returns: How many keys there are. O(that number + failed leaves).
    func oldestDirty(
        upTo epoch: UInt32, includingFailed: Bool = true, into keys: UnsafeMutableBufferPointer<UInt64>
    ) -> Int {
        lock.withLock {
            var id = record.pointee.dirty.head
            var count = 0
            while id != .none, count < keys.count {
                let leaf = leaves[id]
                if Ledger.isLater(leaf.pointee.epoch, than: epoch) { break }
                if includingFailed || !leaf.pointee.status.hasFailed {
                    keys[count] = leaf.pointee.key
                    count += 1
                }
                id = leaf.pointee.nextOnList
            }
            return count
        }
    }

    /// The epoch that dirtied what has been dirty for the longest time; nil if nothing is dirty. O(1).
    var oldestDirtyEpoch: UInt32? {
        lock.withLock {
            let id = record.pointee.dirty.head
            return id == .none ? nil : leaves[id].pointee.epoch
        }
    }

    /// Whether one epoch or sync is later than another; they count up modulo 2³².
    static func isLater(_ one: UInt32, than other: UInt32) -> Bool {
        Int32(bitPattern: one &- other) > 0
    }

    /// Why data cannot be written out at present, or nil if no write-out has failed.
    var error: AccessError? {
        lock.withLock { record.pointee.failedLeaves > 0 ? AccessError(record.pointee.error) : nil }
    }

    /// Whether `news` may have something to tell.
    var hasNews: Bool { lock.withLock { record.pointee.writeOutFailures > 0 } }

    /// The news about write-outs since the last call, or nil.
    func news(dirtyPages: Int) -> Notice? {
        lock.withLock {
            if record.pointee.failedLeaves > 0, !record.pointee.isTold {
                record.pointee.isTold = true
                return .writeOutFails(AccessError(record.pointee.error), dirtyPages: dirtyPages)
            }
            if record.pointee.failedLeaves == 0, record.pointee.writeOutFailures > 0 {
                defer {
                    record.pointee.writeOutFailures = 0
                    record.pointee.isTold = false
                }
                return record.pointee.isTold ? .writeOutWorksAgain(failures: record.pointee.writeOutFailures) : nil
            }
            return nil
        }
    }

    /// The error that keeps every dirty leaf of the image from being written out, or nil if one of them has not failed.
    var stuck: AccessError? {
        lock.withLock {
            let (failed, dirty) = (record.pointee.failedLeaves, record.pointee.dirty.count)
            return failed > 0 && failed >= dirty ? AccessError(record.pointee.error) : nil
        }
    }

    /// The error for which the image has no room for dirty pages and will have none; nil if there is hope. As for all
    /// images (`DirtyLimit.noRoomBecause`), but of this one, at its own limit.
    var noRoomBecause: AccessError? {
        dirtyLimit.isImageFull && failedLeaves * Leaf.pages >= dirtyLimit.allowed ? stuck : nil
    }

    /// Leaves whose last write-out failed.
    var failedLeaves: Int { lock.withLock { record.pointee.failedLeaves } }

    /// Leaves that are dirty or being written out.
    var dirtyLeaves: Int { lock.withLock { record.pointee.dirty.count } }
}
