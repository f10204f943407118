import Glibc

/// Of one image: which leaves are dirty, in the order in which they became dirty, and which are written out but not yet
/// durable.
///
/// A leaf is on one of two lists or on none:
///
///     none ── dirtied ──▶ dirty ── wroteOut, and no page is dirty ──▶ unsynced ── markDurable ──▶ none
///                         │ ▲ ▲                                         │
///                         │ │ └────────── dirtied, dirtiedAgain ────────┘
///                         └─┘ wroteOut, and a page is dirty again
///
/// `pagesDropped` puts a leaf where its bits say.
///
/// The dirty list is in the order of epochs. A flush ends an epoch and writes out what that epoch and earlier ones
/// dirtied. A leaf whose write-out failed goes to the tail, so that no flush tries it twice. It counts as failed until
/// its data is out, and until then every flush fails (invariant 6).
///
/// The unsynced list is in the order of syncs. A leaf remembers how many syncs had begun when it was written out. A
/// good sync makes durable the leaves that were written out before it began. Durability decides what a failed sync
/// means.
///
/// Ledgers lie in the Memory, one per image. A caller that names a leaf holds the lock of the leaf's shard. The
/// Ledger's own lock comes after that one (`LockRank.ledger`). O(1), unless a function says otherwise.
///
/// This file says what happens to a leaf. The extensions have epochs and write-outs (WriteOuts), syncs (Syncs), and
/// Invariants.
struct Ledger: @unchecked Sendable {
    // These are the Ledger's own. They are internal only because its extensions are files of their own.
    let record: UnsafeMutablePointer<Record>
    let leaves: LeafTable
    let dirtyLimit: DirtyLimit

    struct Record: ~Copyable {
        /// Write-outs that failed since all was well. This field comes first because of the thread sanitizer. To it, a
        /// change of any field in place is a change of the first byte. And a thread that is about to lock reads the
        /// mutex unlocked.
        var writeOutFailures: UInt64 = 0
        /// `Ledger.mutex` relies on its place behind the first field.
        var mutex = pthread_mutex_t()
        var dirty = LeafList()
        var unsynced = LeafList()
        var epoch: UInt32 = 1
        var syncsBegun: UInt32 = 0
        var failedLeaves = 0
        /// Whether a `Notice` has told of the failures.
        var isTold = false
        /// Whether the lock has been made. Only `prepare` looks at it.
        var isMade = false
        var error: Int32 = 0
    }

    init(at record: UnsafeMutablePointer<Record>, leaves: LeafTable, dirtyLimit: DirtyLimit) {
        self.record = record
        self.leaves = leaves
        self.dirtyLimit = dirtyLimit
    }

    /// Makes the Ledger that of a new image. All of the record is zero before the first time. After that the lock stays
    /// as it is, because a thread that still has the Provider of the last image with this number may look.
    func prepare() {
        if !record.pointee.isMade {
            let address = withUnsafePointer(to: &record.pointee.mutex) { UnsafeRawPointer($0) }
            precondition(address == UnsafeRawPointer(mutex), "where the lock is looked for")
            _ = Lock(in: mutex)
            record.pointee.isMade = true
        }
        lock.withLock {
            record.pointee.writeOutFailures = 0
            (record.pointee.dirty, record.pointee.unsynced) = (LeafList(), LeafList())
            (record.pointee.epoch, record.pointee.syncsBegun) = (1, 0)
            (record.pointee.failedLeaves, record.pointee.isTold, record.pointee.error) = (0, false, 0)
        }
    }

    @inline(__always)
    private var mutex: UnsafeMutablePointer<pthread_mutex_t> {
        (UnsafeMutableRawPointer(record) + MemoryLayout<UInt64>.stride).assumingMemoryBound(to: pthread_mutex_t.self)
    }

    @inline(__always)
    var lock: Lock { Lock(at: mutex, .ledger) }

    // MARK: What happens to a leaf

    /// Pages of the leaf have just become dirty.
    /// - Parameter wasClean: No other page of the leaf was dirty.
    func dirtied(_ id: LeafID, wasClean: Bool) {
        assert(leaves[id].pointee.dirty != 0, "the leaf's bits say already that pages are dirty")
        guard wasClean || leaves[id].pointee.status.list != .dirty else { return }
        lock.withLock {
            if wasClean { leaves[id].pointee.dirtyEpoch = record.pointee.epoch }
            // A leaf with pages on their way out keeps its position: a flush that must wait for these pages looks
            // there.
            guard leaves[id].pointee.status.list != .dirty else { return }
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
        }
    }

    /// The last dirty page of the leaf has been taken to be written out. So what had failed is being tried again.
    func allDirtyTaken(_ id: LeafID) {
        assert(leaves[id].pointee.dirty == 0, "no dirty page of the leaf is left")
        guard leaves[id].pointee.status.keepsFailed else { return }
        lock.withLock { leaves[id].pointee.status.keepsFailed = false }
    }

    /// Pages of the leaf have been written out. The leaf's bits say so already.
    func wroteOut(_ id: LeafID) {
        lock.withLock {
            let leaf = leaves[id]
            if leaf.pointee.writing != 0 { return }
            // If nothing is dirty, what had failed has been written out, or dropped meanwhile.
            if !leaf.pointee.status.keepsFailed || leaf.pointee.dirty == 0 { noteSuccess(id) }
            if leaf.pointee.dirty != 0 {
                // Most often the pages that are left were dirty from the beginning. Then the leaf's position is right,
                // and to find it again would mean a walk through the whole list.
                guard leaf.pointee.dirtyEpoch != leaf.pointee.epoch else { return }
                unlink(id)
                insert(id, dirtyIn: leaf.pointee.dirtyEpoch)
            } else {
                unlink(id)
                appendUnsynced(id)
            }
        }
    }

    /// Pages of the leaf could not be written out, and are dirty again. The leaf goes to the tail, so that no flush
    /// tries it twice. Until it is out every flush fails, even one that does not find it because it is now in a later
    /// epoch.
    func failedToWriteOut(_ id: LeafID, _ error: AccessError) {
        lock.withLock {
            let leaf = leaves[id]
            assert(leaf.pointee.status.list == .dirty, "what is being written out is on the dirty list")
            leaf.pointee.status.keepsFailed = true
            moveToTail(id)
            record.pointee.error = error.code
            record.pointee.writeOutFailures += 1
            if !leaf.pointee.status.hasFailed {
                leaf.pointee.status.hasFailed = true
                record.pointee.failedLeaves += 1
                dirtyLimit.countFailedLeaves(1, error)
            }
        }
    }

    /// Pages of the leaf that are known to be bad have been left alone this time. The leaf goes to the tail, as if they
    /// had failed again, so that no flush comes to it twice.
    func putOff(_ id: LeafID) {
        lock.withLock {
            assert(leaves[id].pointee.status.keepsFailed, "what is known to be bad has failed")
            moveToTail(id)
        }
    }

    private func moveToTail(_ id: LeafID) {
        leaves[id].pointee.dirtyEpoch = record.pointee.epoch
        unlink(id)
        append(id, dirtyIn: record.pointee.epoch)
    }

    /// Pages of the leaf have been written out while a sync failed, and are dirty again. Their write-out did not fail,
    /// so the leaf keeps its position. A flush that began after the failed sync, and waited for these pages, finds them
    /// there and writes them out again. A flush that began earlier fails with the sync's error.
    ///
    /// If another page of the leaf has failed, the leaf is in a later epoch and such a flush does not find it. Then
    /// that failure stands until these pages are out too, and the flush fails because of it.
    func syncFailedMeanwhile(_ id: LeafID) {
        lock.withLock {
            let leaf = leaves[id]
            assert(leaf.pointee.status.list == .dirty, "what is being written out is on the dirty list")
            leaf.pointee.dirtyEpoch = leaf.pointee.epoch
            if leaf.pointee.status.hasFailed { leaf.pointee.status.keepsFailed = true }
        }
    }

    /// Pages of the leaf have been dropped. The leaf goes where its bits now say.
    func pagesDropped(_ id: LeafID) {
        guard leaves[id].pointee.status.list != .none else { return }
        lock.withLock {
            let leaf = leaves[id]
            if leaf.pointee.dirty | leaf.pointee.writing != 0 { return }
            noteSuccess(id)
            if leaf.pointee.status.list == .unsynced, leaf.pointee.unsynced != 0 { return }
            unlink(id)
            if leaf.pointee.unsynced != 0 { appendUnsynced(id) }
        }
    }

    /// The leaf's failed data is out, or gone. With the last such leaf the image is well again.
    private func noteSuccess(_ id: LeafID) {
        leaves[id].pointee.status.keepsFailed = false
        guard leaves[id].pointee.status.hasFailed else { return }
        assert(record.pointee.failedLeaves > 0, "a leaf that has failed is counted")
        leaves[id].pointee.status.hasFailed = false
        record.pointee.failedLeaves -= 1
        dirtyLimit.countFailedLeaves(-1, nil)
        if record.pointee.failedLeaves == 0 { record.pointee.error = 0 }
    }

    // MARK: The lists

    /// Puts a leaf that is on no list at the tail of the dirty list.
    func append(_ id: LeafID, dirtyIn epoch: UInt32) {
        assert(leaves[id].pointee.status.list == .none, "a leaf is on one list at most")
        leaves[id].pointee.epoch = epoch
        leaves[id].pointee.status.list = .dirty
        dirtyLimit.countDirtyLeaves(1)
        leaves.insert(id, after: record.pointee.dirty.tail, in: &record.pointee.dirty)
    }

    /// Puts a leaf that is on no list where its epoch belongs. That is near the tail: O(leaves that later epochs
    /// dirtied).
    private func insert(_ id: LeafID, dirtyIn epoch: UInt32) {
        assert(leaves[id].pointee.status.list == .none, "a leaf is on one list at most")
        var before = record.pointee.dirty.tail
        while before != .none, Ledger.isLater(leaves[before].pointee.epoch, than: epoch) {
            before = leaves[before].pointee.previousOnList
        }
        leaves[id].pointee.epoch = epoch
        leaves[id].pointee.status.list = .dirty
        dirtyLimit.countDirtyLeaves(1)
        leaves.insert(id, after: before, in: &record.pointee.dirty)
    }

    private func appendUnsynced(_ id: LeafID) {
        assert(leaves[id].pointee.status.list == .none, "a leaf is on one list at most")
        leaves[id].pointee.epoch = record.pointee.syncsBegun
        leaves[id].pointee.status.list = .unsynced
        leaves.insert(id, after: record.pointee.unsynced.tail, in: &record.pointee.unsynced)
    }

    func unlink(_ id: LeafID) {
        switch leaves[id].pointee.status.list {
        case .none: return
        case .dirty:
            leaves.unlink(id, from: &record.pointee.dirty)
            dirtyLimit.countDirtyLeaves(-1)
        case .unsynced: leaves.unlink(id, from: &record.pointee.unsynced)
        }
        leaves[id].pointee.status.list = .none
    }
}
