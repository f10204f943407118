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
/// sync settles those that were written out before it began.
///
/// Ledgers lie in the Memory, one an image. Calls that take a leaf want its shard's lock held; `lock` comes after it
/// and is a leaf of the lock order. O(1), but for what says otherwise.
struct Ledger: @unchecked Sendable {
    private let record: UnsafeMutablePointer<Record>
    private let leaves: LeafTable
    private let gauge: DirtGauge

    struct Record: ~Copyable {
        /// Write-outs that failed since all was well. First, because changing any field in place counts as a change of the
        /// first byte to the thread sanitizer, and whoever is about to lock touches the mutex unlocked.
        var failures: UInt64 = 0
        /// Its place behind that is relied on.
        var mutex = pthread_mutex_t()
        fileprivate var dirty = LeafList()
        fileprivate var unsynced = LeafList()
        var epoch: UInt32 = 1
        var syncsBegun: UInt32 = 0
        var failedLeaves = 0
        /// Whether failures have been told.
        var isTold = false
        var error: Int32 = 0
        /// What a failed sync loses for good: pages written out but recycled before they were durable, zeroes and trims
        /// of the image. Counted for ever; see `Provider`.
        let unsettled = Atomic<UInt64>(0)
        /// Zeroes and trims being done.
        let changes = Atomic<Int>(0)
        /// Syncs that failed, and how the last one did.
        let failedSyncs = Atomic<UInt64>(0)
        /// Base pages written out and not known to be durable.
        let unsyncedPages = Atomic<Int>(0)
        /// Base pages read ahead and recycled without use, since somebody asked.
        let unused = Atomic<UInt64>(0)
    }

    fileprivate struct LeafList {
        var head = LeafID.none
        var tail = LeafID.none
        var count = 0
    }

    init(at record: UnsafeMutablePointer<Record>, leaves: LeafTable, gauge: DirtGauge) {
        self.record = record
        self.leaves = leaves
        self.gauge = gauge
    }

    /// Makes the ledger that of a new image.
    func prepare() {
        record.initialize(to: Record())
        let place = withUnsafePointer(to: &record.pointee.mutex) { UnsafeRawPointer($0) }
        precondition(place == UnsafeRawPointer(mutex), "where the lock is looked for")
        _ = Lock(in: mutex)
    }

    @inline(__always)
    private var mutex: UnsafeMutablePointer<pthread_mutex_t> {
        (UnsafeMutableRawPointer(record) + MemoryLayout<UInt64>.stride).assumingMemoryBound(to: pthread_mutex_t.self)
    }

    @inline(__always)
    private var lock: Lock { Lock(at: mutex) }

    // MARK: What happens to a leaf

    /// Pages of the leaf have just become dirty.
    /// - Parameter wasClean: No other page of it was.
    func dirtied(_ id: LeafID, wasClean: Bool) {
        guard wasClean || leaves[id].pointee.mark.list != .dirty else { return }
        lock.withLock {
            if wasClean { leaves[id].pointee.dirtyEpoch = record.pointee.epoch }
            // A leaf with pages on their way out stays where it is: a flush that has to wait for them looks there.
            guard leaves[id].pointee.mark.list != .dirty else { return }
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
        }
    }

    /// The last dirty page of the leaf has been taken to be written out: what had failed is being tried again.
    func tookWhole(_ id: LeafID) {
        guard leaves[id].pointee.mark.keepsFailed else { return }
        lock.withLock { leaves[id].pointee.mark.keepsFailed = false }
    }

    /// Pages of the leaf have been written out; its bits say so already.
    func wroteOut(_ id: LeafID) {
        lock.withLock {
            let leaf = leaves[id]
            if leaf.pointee.writing != 0 { return }
            if !leaf.pointee.mark.keepsFailed { noteSuccess(id) }
            unlink(id)
            if leaf.pointee.dirty != 0 {
                insert(id, dirtyIn: leaf.pointee.dirtyEpoch)
            } else {
                appendUnsynced(id)
            }
        }
    }

    /// Pages of the leaf could not be written out, and are dirty again. It goes to the tail, so that no flush tries it
    /// twice; until it is out every flush fails, also those that it is now too late for.
    func failedToWriteOut(_ id: LeafID, _ error: AccessError) {
        lock.withLock {
            let leaf = leaves[id]
            leaf.pointee.mark.keepsFailed = true
            leaf.pointee.dirtyEpoch = record.pointee.epoch
            unlink(id)
            append(id, dirtyIn: record.pointee.epoch)
            record.pointee.error = error.code
            record.pointee.failures += 1
            if !leaf.pointee.mark.hasFailed {
                leaf.pointee.mark.hasFailed = true
                record.pointee.failedLeaves += 1
                gauge.countFailedLeaves(1, error)
            }
        }
    }

    /// Pages of the leaf have been dropped: it belongs where its bits say now.
    func dropped(_ id: LeafID) {
        guard leaves[id].pointee.mark.list != .none else { return }
        lock.withLock {
            let leaf = leaves[id]
            if leaf.pointee.dirty | leaf.pointee.writing != 0 { return }
            noteSuccess(id)
            if leaf.pointee.mark.list == .unsynced, leaf.pointee.unsynced != 0 { return }
            unlink(id)
            if leaf.pointee.unsynced != 0 { appendUnsynced(id) }
        }
    }

    /// The leaf's failed data is out, or gone; with the last such leaf the image is well again.
    private func noteSuccess(_ id: LeafID) {
        leaves[id].pointee.mark.keepsFailed = false
        guard leaves[id].pointee.mark.hasFailed else { return }
        leaves[id].pointee.mark.hasFailed = false
        record.pointee.failedLeaves -= 1
        gauge.countFailedLeaves(-1, nil)
        if record.pointee.failedLeaves == 0 { record.pointee.error = 0 }
    }

    // MARK: Epochs and write-outs

    /// Ends the current epoch.
    /// - Returns: Its number: what has been dirtied so far has this one or an earlier one.
    func endEpoch() -> UInt32 {
        lock.withLock {
            defer { record.pointee.epoch &+= 1 }
            return record.pointee.epoch
        }
    }

    /// Copies the keys of the oldest dirty leaves into `keys`, as many as fit.
    /// - Parameter epoch: Only leaves that this epoch or an earlier one dirtied.
    /// - Parameter includingFailed: Also those whose write-out has failed.
    /// - Returns: How many there are. O(that), and O(failed leaves).
    func oldestDirty(
        upTo epoch: UInt32, includingFailed: Bool = true, into keys: UnsafeMutableBufferPointer<UInt64>
    ) -> Int {
        lock.withLock {
            var id = record.pointee.dirty.head
            var count = 0
            while id != .none, count < keys.count {
                let leaf = leaves[id]
                if Ledger.isLater(leaf.pointee.epoch, than: epoch) { break }
                if includingFailed || !leaf.pointee.mark.hasFailed {
                    keys[count] = leaf.pointee.key
                    count += 1
                }
                id = leaf.pointee.nextOnList
            }
            return count
        }
    }

    /// Whether one epoch or sync is later than another; they count up modulo 2³².
    private static func isLater(_ one: UInt32, than other: UInt32) -> Bool {
        Int32(bitPattern: one &- other) > 0
    }

    /// Why data cannot be written out at present, or nil if all of it could be.
    var error: AccessError? {
        lock.withLock { record.pointee.failedLeaves > 0 ? AccessError(record.pointee.error) : nil }
    }

    /// What there is to be told of write-outs since the last call, or nil.
    func news(dirtyPages: Int) -> Notice? {
        lock.withLock {
            if record.pointee.failedLeaves > 0, !record.pointee.isTold {
                record.pointee.isTold = true
                return .writeOutFails(AccessError(record.pointee.error), dirtyPages: dirtyPages)
            }
            if record.pointee.failedLeaves == 0, record.pointee.failures > 0 {
                defer {
                    record.pointee.failures = 0
                    record.pointee.isTold = false
                }
                return record.pointee.isTold ? .writeOutWorksAgain(failures: record.pointee.failures) : nil
            }
            return nil
        }
    }

    /// Why nothing of the image that is dirty can be written out; nil while some of it can.
    var stuck: AccessError? {
        lock.withLock {
            let (failed, dirty) = (record.pointee.failedLeaves, record.pointee.dirty.count)
            return failed > 0 && failed >= dirty ? AccessError(record.pointee.error) : nil
        }
    }

    /// Leaves whose last write-out failed.
    var failedLeaves: Int { lock.withLock { record.pointee.failedLeaves } }

    /// Leaves that are dirty or being written out.
    var dirtyLeaves: Int { lock.withLock { record.pointee.dirty.count } }

    // MARK: Syncs

    /// A sync begins.
    /// - Returns: Its number, and what was unsettled when it began.
    func beginSync() -> (number: UInt32, unsettled: UInt64) {
        lock.withLock {
            record.pointee.syncsBegun &+= 1
            return (record.pointee.syncsBegun, unsettled)
        }
    }

    /// The key of the first leaf that was written out before sync `number` began and is not settled, or nil.
    func firstUnsynced(beforeSync number: UInt32) -> UInt64? {
        lock.withLock {
            let id = record.pointee.unsynced.head
            guard id != .none, Ledger.isLater(number, than: leaves[id].pointee.epoch) else { return nil }
            return leaves[id].pointee.key
        }
    }

    /// Settles the leaf after a good sync `number`, if it still was written out before that and has not been dirtied
    /// since: it is on no list then.
    /// - Returns: Whether it was, so that its bits are to be cleared.
    func settle(_ id: LeafID, bySync number: UInt32) -> Bool {
        lock.withLock {
            let leaf = leaves[id]
            guard leaf.pointee.mark.list == .unsynced, Ledger.isLater(number, than: leaf.pointee.epoch) else {
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
    var unsettled: UInt64 { record.pointee.unsettled.load(ordering: .sequentiallyConsistent) }

    /// Something that a failed sync would lose has happened to the image.
    func countUnsettled() { record.pointee.unsettled.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// So many base pages more (or fewer) are written out and not durable.
    func countUnsynced(_ pages: Int) { record.pointee.unsyncedPages.wrappingAdd(pages, ordering: .relaxed) }

    /// Base pages that are written out and not known to be durable.
    var unsyncedPages: Int { record.pointee.unsyncedPages.load(ordering: .relaxed) }

    /// A zero or trim of the image is about to be done: a sync that fails meanwhile may lose it.
    func beginChange() { record.pointee.changes.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    /// It has been done, or part of it.
    func endChange() {
        countUnsettled()
        record.pointee.changes.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
    /// Whether one is being done.
    var isChanging: Bool { record.pointee.changes.load(ordering: .sequentiallyConsistent) > 0 }

    /// A sync has failed. What is being written out now counts as not written out, because the image may have forgotten
    /// it already; called before what was written out earlier becomes dirty again.
    func countFailedSync(_ error: AccessError) {
        let count = failedSyncs & 0xFF_FFFF_FFFF_FFFF &+ 1
        record.pointee.failedSyncs.store(UInt64(error.code) << 56 | count, ordering: .sequentiallyConsistent)
    }

    /// Syncs that have failed (the low 56 bits), and how the last one did.
    var failedSyncs: UInt64 { record.pointee.failedSyncs.load(ordering: .sequentiallyConsistent) }

    /// The error of the last failed sync if there was one since `failedSyncs` was `count`.
    func syncFailure(since count: UInt64) -> AccessError? {
        let now = failedSyncs
        return now == count ? nil : AccessError(Int32(now >> 56))
    }

    // MARK: Reading ahead

    /// So many base pages that were read ahead have been recycled and nobody has used them.
    func countUnused(_ pages: UInt64) { record.pointee.unused.wrappingAdd(pages, ordering: .relaxed) }

    /// How many base pages were read ahead in vain since the last call.
    func takeUnused() -> UInt64 {
        record.pointee.unused.load(ordering: .relaxed) == 0 ? 0 : record.pointee.unused.exchange(0, ordering: .relaxed)
    }

    // MARK: The lists

    private func append(_ id: LeafID, dirtyIn epoch: UInt32) {
        leaves[id].pointee.epoch = epoch
        leaves[id].pointee.mark.list = .dirty
        gauge.countDirtyLeaves(1)
        leaves.insert(id, after: record.pointee.dirty.tail, in: &record.pointee.dirty)
    }

    /// Puts a leaf where its epoch belongs, which is near the tail: O(leaves that later epochs have dirtied).
    private func insert(_ id: LeafID, dirtyIn epoch: UInt32) {
        var before = record.pointee.dirty.tail
        while before != .none, Ledger.isLater(leaves[before].pointee.epoch, than: epoch) {
            before = leaves[before].pointee.previousOnList
        }
        leaves[id].pointee.epoch = epoch
        leaves[id].pointee.mark.list = .dirty
        gauge.countDirtyLeaves(1)
        leaves.insert(id, after: before, in: &record.pointee.dirty)
    }

    private func appendUnsynced(_ id: LeafID) {
        leaves[id].pointee.epoch = record.pointee.syncsBegun
        leaves[id].pointee.mark.list = .unsynced
        leaves.insert(id, after: record.pointee.unsynced.tail, in: &record.pointee.unsynced)
    }

    private func unlink(_ id: LeafID) {
        switch leaves[id].pointee.mark.list {
        case .none: return
        case .dirty:
            leaves.unlink(id, from: &record.pointee.dirty)
            gauge.countDirtyLeaves(-1)
        case .unsynced: leaves.unlink(id, from: &record.pointee.unsynced)
        }
        leaves[id].pointee.mark.list = .none
    }

    /// The links of both lists agree with the leaves' marks. O(leaves on them). All shards are locked.
    func checkInvariants() {
        lock.withLock {
            check(record.pointee.dirty, .dirty)
            check(record.pointee.unsynced, .unsynced)
        }
    }

    private func check(_ list: LeafList, _ name: LeafMark.List) {
        var count = 0
        var previous = LeafID.none
        var id = list.head
        while id != .none {
            let leaf = leaves[id]
            precondition(leaf.pointee.mark.list == name && leaf.pointee.previousOnList == previous, "links must agree")
            if name == .dirty {
                precondition(leaf.pointee.dirty | leaf.pointee.writing != 0, "what is on the dirty list is dirty")
            } else {
                precondition(leaf.pointee.dirty | leaf.pointee.writing == 0, "what is dirty is on the dirty list")
            }
            previous = id
            id = leaf.pointee.nextOnList
            count += 1
        }
        precondition(previous == list.tail && count == list.count, "counts must agree")
    }
}

extension LeafTable {
    fileprivate func insert(_ id: LeafID, after previous: LeafID, in list: inout Ledger.LeafList) {
        let next = previous == .none ? list.head : self[previous].pointee.nextOnList
        self[id].pointee.previousOnList = previous
        self[id].pointee.nextOnList = next
        if previous == .none { list.head = id } else { self[previous].pointee.nextOnList = id }
        if next == .none { list.tail = id } else { self[next].pointee.previousOnList = id }
        list.count += 1
    }

    fileprivate func unlink(_ id: LeafID, from list: inout Ledger.LeafList) {
        let (previous, next) = (self[id].pointee.previousOnList, self[id].pointee.nextOnList)
        if previous == .none { list.head = next } else { self[previous].pointee.nextOnList = next }
        if next == .none { list.tail = previous } else { self[next].pointee.previousOnList = previous }
        list.count -= 1
    }
}
