import Glibc
import Synchronization

/// Of one image: which leaves are dirty, in the order of their dirtying, and which are written out but not yet durable.
///
/// A leaf is on one of two lists or on none:
///
///     none ── dirtied ──▶ dirty ── written out, nothing dirtied since ──▶ unsynced ── synced ──▶ none
///                          ▲  ▲                                             │
///                          │  └─────── written out, dirtied since ──┐       │
///                          └── dirtied; sync failed ────────────────┴───────┘
///
/// The dirty list is in the order of epochs: a flush ends an epoch and writes out what that one and earlier ones
/// dirtied. A leaf whose write-out failed goes to the tail, so that nobody tries it twice in one flush, and stays
/// counted as failed until its data is out: every flush says so (invariant 6).
///
/// The unsynced list is in the order of syncs: a leaf remembers how many had begun when it was written out, and a good
/// sync makes durable those that were written out before it began.
///
/// Ledgers lie in the Memory, one an image. Calls that take a leaf want its shard's lock held; `lock` comes after it
/// and is an innermost one. O(1), but for what says otherwise.
///
/// Here is what happens to a leaf; in the extensions, epochs and write-outs (WriteOuts), syncs (Syncs), and Invariants.
struct Ledger: @unchecked Sendable {
    // These two are the Ledger's own: internal only because its extensions are files of their own.
    let record: UnsafeMutablePointer<Record>
    let leaves: LeafTable
    let dirtyLimit: DirtyLimit

    struct Record: ~Copyable {
        /// Write-outs that failed since all was well. First, because changing any field in place counts as a change of
        /// the first byte to the thread sanitizer, and whoever is about to lock touches the mutex unlocked.
        var writeOutFailures: UInt64 = 0
        /// Its place behind that is relied on.
        var mutex = pthread_mutex_t()
        var dirty = LeafList()
        var unsynced = LeafList()
        var epoch: UInt32 = 1
        var syncsBegun: UInt32 = 0
        var failedLeaves = 0
        /// Whether failures have been told.
        var isTold = false
        var error: Int32 = 0
        /// What a failed sync loses for good: pages written out but recycled before they were durable, zeroes and trims
        /// of the image. Counted for ever; see `Provider`.
        let atRisk = Atomic<UInt64>(0)
        /// Zeroes and trims being done.
        let changes = Atomic<Int>(0)
        /// Syncs that failed, and how the last one did.
        let syncFailureStamp = Atomic<UInt64>(0)
        /// Base pages written out and not known to be durable.
        let unsyncedPages = Atomic<Int>(0)
        /// Base pages read ahead and recycled without use, since somebody asked.
        let unused = Atomic<UInt64>(0)
    }

    init(at record: UnsafeMutablePointer<Record>, leaves: LeafTable, dirtyLimit: DirtyLimit) {
        self.record = record
        self.leaves = leaves
        self.dirtyLimit = dirtyLimit
    }

    /// Makes the ledger that of a new image.
    func prepare() {
        record.initialize(to: Record())
        let address = withUnsafePointer(to: &record.pointee.mutex) { UnsafeRawPointer($0) }
        precondition(address == UnsafeRawPointer(mutex), "where the lock is looked for")
        _ = Lock(in: mutex)
    }

    @inline(__always)
    private var mutex: UnsafeMutablePointer<pthread_mutex_t> {
        (UnsafeMutableRawPointer(record) + MemoryLayout<UInt64>.stride).assumingMemoryBound(to: pthread_mutex_t.self)
    }

    @inline(__always)
    var lock: Lock { Lock(at: mutex, .ledger) }

    // MARK: What happens to a leaf

    /// Pages of the leaf have just become dirty.
    /// - Parameter wasClean: No other page of it was.
    func dirtied(_ id: LeafID, wasClean: Bool) {
        guard wasClean || leaves[id].pointee.status.list != .dirty else { return }
        lock.withLock {
            if wasClean { leaves[id].pointee.dirtyEpoch = record.pointee.epoch }
            // A leaf with pages on their way out stays where it is: a flush that has to wait for them looks there.
            guard leaves[id].pointee.status.list != .dirty else { return }
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
        }
    }

    /// The last dirty page of the leaf has been taken to be written out: what had failed is being tried again.
    func allDirtyTaken(_ id: LeafID) {
        guard leaves[id].pointee.status.keepsFailed else { return }
        lock.withLock { leaves[id].pointee.status.keepsFailed = false }
    }

    /// Pages of the leaf have been written out; its bits say so already.
    func wroteOut(_ id: LeafID) {
        lock.withLock {
            let leaf = leaves[id]
            if leaf.pointee.writing != 0 { return }
            // Where nothing is dirty what had failed has been dropped meanwhile, if it was not written out.
            if !leaf.pointee.status.keepsFailed || leaf.pointee.dirty == 0 { noteSuccess(id) }
            if leaf.pointee.dirty != 0 {
                // Most that is left of a leaf was dirty from the beginning: its place is right, and finding it anew
                // would mean to go through the whole list.
                guard leaf.pointee.dirtyEpoch != leaf.pointee.epoch else { return }
                unlink(id)
                insert(id, dirtyIn: leaf.pointee.dirtyEpoch)
            } else {
                unlink(id)
                appendUnsynced(id)
            }
        }
    }

    /// Pages of the leaf could not be written out, and are dirty again. It goes to the tail, so that no flush tries it
    /// twice; until it is out every flush fails, also those that it is now too late for.
    func failedToWriteOut(_ id: LeafID, _ error: AccessError) {
        lock.withLock {
            let leaf = leaves[id]
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

    /// Known bad pages of the leaf have been left alone this time. It goes to the tail, as if they had failed again, so
    /// that no flush comes to it twice.
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

    /// Pages of the leaf have been written out while a sync failed, and are dirty again. That is no failure of theirs:
    /// the leaf stays where it is, as if they had not gone, so that a flush that has begun after that sync, and waited
    /// for them, writes them out anew. Those who began before it fail because of it. Where another page of the leaf has
    /// failed, which has put it too late for such a flush, that failure stands until these pages are out too: the flush
    /// hears of it.
    func syncFailedMeanwhile(_ id: LeafID) {
        lock.withLock {
            let leaf = leaves[id]
            assert(leaf.pointee.status.list == .dirty, "what is being written out is on the dirty list")
            leaf.pointee.dirtyEpoch = leaf.pointee.epoch
            if leaf.pointee.status.hasFailed { leaf.pointee.status.keepsFailed = true }
        }
    }

    /// Pages of the leaf have been dropped: it belongs where its bits say now.
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

    /// The leaf's failed data is out, or gone; with the last such leaf the image is well again.
    private func noteSuccess(_ id: LeafID) {
        leaves[id].pointee.status.keepsFailed = false
        guard leaves[id].pointee.status.hasFailed else { return }
        leaves[id].pointee.status.hasFailed = false
        record.pointee.failedLeaves -= 1
        dirtyLimit.countFailedLeaves(-1, nil)
        if record.pointee.failedLeaves == 0 { record.pointee.error = 0 }
    }

    // MARK: Reading ahead

    /// So many base pages that were read ahead have been recycled and nobody has used them.
    func countUnused(_ pages: UInt64) { record.pointee.unused.wrappingAdd(pages, ordering: .relaxed) }

    /// How many base pages were read ahead in vain since the last call.
    func takeUnused() -> UInt64 {
        record.pointee.unused.load(ordering: .relaxed) == 0 ? 0 : record.pointee.unused.exchange(0, ordering: .relaxed)
    }

    // MARK: The lists

    func append(_ id: LeafID, dirtyIn epoch: UInt32) {
        leaves[id].pointee.epoch = epoch
        leaves[id].pointee.status.list = .dirty
        dirtyLimit.countDirtyLeaves(1)
        leaves.insert(id, after: record.pointee.dirty.tail, in: &record.pointee.dirty)
    }

    /// Puts a leaf where its epoch belongs, which is near the tail: O(leaves that later epochs have dirtied).
    private func insert(_ id: LeafID, dirtyIn epoch: UInt32) {
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
