import Synchronization

/// Of one image: what a failed sync would lose, and whether a sync has failed.
///
/// `Durability` asks here what a failed sync means. Three kinds of threads count here: one that recycles, zeroes or
/// trims an unsynced page; one that writes pages out; and one that leads a sync. The first of these may work for
/// another image and knows only this image's number. So the counters lie in the Memory, one record an image.
///
/// **A process that dies in a sync** takes the sync's result with it: the kernel reports an error once, to the
/// descriptor that asked. So, if something is kept, the record says that a sync is under way, and the next server finds
/// that. What is in memory is owed until a good sync has ended, and is written again: nothing of it is lost. In doubt
/// is only what was at risk. A write past the page cache has reported its own error, and so has a call that changed the
/// file's blocks. A failed commit of a journal shows at the next sync as well. So for these, only a failed flush of the
/// disk's cache would go unnoticed; for what went through the page cache, a failed write by the kernel too. A loss
/// reported after each such death would stop filesystems on the image for nothing, and another sync that succeeds
/// proves nothing. So the next server says in its log that it cannot know.
///
/// Thread rules: any thread, without a lock. A copy counts in the same place. O(1).
struct SyncRisk: @unchecked Sendable {
    private let record: UnsafeMutablePointer<Record>
    private let dirtyLimit: DirtyLimit

    /// The format of a state file has the same fields.
    struct Record: ~Copyable {
        /// What a failed sync loses for good: pages written out but recycled before they were durable, zeroes and trims
        /// of the image, and what was written around the Memory. It only ever grows.
        fileprivate let atRisk = Atomic<UInt64>(0)
        /// What `atRisk` was when the last good sync began.
        fileprivate let atRiskWhenSynced = Atomic<UInt64>(0)
        /// Zeroes, trims and writes around the Memory under way: changes of the image.
        fileprivate let changes = Atomic<Int>(0)
        /// The number of failed syncs in the low 56 bits, the error of the last one in the others.
        fileprivate let failureStamp = Atomic<UInt64>(0)
        /// The error of a failed sync that lost what is not in memory any more; 0 if there was none.
        fileprivate let loss = Atomic<UInt8>(0)
        /// 1 while a sync is under way.
        fileprivate let isSyncing = Atomic<UInt8>(0)
    }

    private static let countMask: UInt64 = 0xFF_FFFF_FFFF_FFFF

    init(at record: UnsafeMutablePointer<Record>, dirtyLimit: DirtyLimit) {
        self.record = record
        self.dirtyLimit = dirtyLimit
    }

    /// Makes the record that of a new image. Field by field: a thread that still has the Provider of the last image
    /// with this number may look, and a state file has other fields beside these.
    func prepare() {
        record.pointee.atRisk.store(0, ordering: .sequentiallyConsistent)
        record.pointee.atRiskWhenSynced.store(0, ordering: .sequentiallyConsistent)
        record.pointee.changes.store(0, ordering: .sequentiallyConsistent)
        record.pointee.failureStamp.store(0, ordering: .sequentiallyConsistent)
        record.pointee.loss.store(0, ordering: .sequentiallyConsistent)
        record.pointee.isSyncing.store(0, ordering: .sequentiallyConsistent)
        countUnsynced(-unsyncedPages)
    }

    /// Takes the record that another server has left. A change that was under way has been made or not, so it is at
    /// risk.
    func takeOver() {
        if record.pointee.changes.exchange(0, ordering: .sequentiallyConsistent) != 0 { countAtRisk() }
        record.pointee.isSyncing.store(0, ordering: .sequentiallyConsistent)
        countUnsynced(-unsyncedPages)
    }

    // MARK: What a failed sync would lose for good

    /// How often something has happened to the image that a failed sync would lose. Compared with an earlier value, it
    /// says whether something has happened since.
    var atRisk: UInt64 { record.pointee.atRisk.load(ordering: .sequentiallyConsistent) }

    /// Something has happened to the image that a failed sync would lose.
    func countAtRisk() { record.pointee.atRisk.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// A good sync has ended. It made durable what was at risk when it began.
    func noteSync(of atRisk: UInt64) {
        record.pointee.atRiskWhenSynced.store(atRisk, ordering: .sequentiallyConsistent)
    }

    /// Whether something is at risk that no good sync has made durable.
    var isAnythingAtRisk: Bool {
        atRisk != record.pointee.atRiskWhenSynced.load(ordering: .sequentiallyConsistent)
    }

    /// The error of a failed sync that lost what is not in memory any more, or nil (invariant 6).
    var loss: AccessError? {
        let code = record.pointee.loss.load(ordering: .acquiring)
        return code == 0 ? nil : AccessError(Int32(code))
    }

    /// A failed sync has lost what is not in memory any more.
    func noteLoss(_ error: AccessError) {
        record.pointee.loss.store(UInt8(truncatingIfNeeded: error.code), ordering: .releasing)
    }

    /// A change of the image is about to begin: a sync that fails meanwhile may lose it.
    func beginChange() { record.pointee.changes.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// The change, or part of it, has been made.
    func endChange() {
        countAtRisk()
        let before = record.pointee.changes.wrappingSubtract(1, ordering: .sequentiallyConsistent).oldValue
        assert(before > 0, "a change that ends has begun")
    }

    /// Whether a change is under way.
    var isChanging: Bool { record.pointee.changes.load(ordering: .sequentiallyConsistent) > 0 }

    // MARK: Syncs under way

    /// A sync is about to begin.
    /// - Returns: Whether another one is under way.
    @discardableResult
    func beginSync() -> Bool { record.pointee.isSyncing.exchange(1, ordering: .sequentiallyConsistent) != 0 }

    /// The sync has ended, and what it means has been noted.
    func endSync() { record.pointee.isSyncing.store(0, ordering: .sequentiallyConsistent) }

    // MARK: What is unsynced

    /// `pages` more (or fewer) base pages are written out and not durable.
    func countUnsynced(_ pages: Int) { dirtyLimit.countUnsynced(pages) }

    /// Base pages that are written out and not known to be durable.
    var unsyncedPages: Int { dirtyLimit.unsynced }

    // MARK: Failures

    /// A sync has failed. What is being written out now counts as not written out, because the image may have forgotten
    /// it already. Called before what was written out earlier becomes dirty again, by one thread at a time.
    func countFailure(_ error: AccessError) {
        let count = failureStamp & SyncRisk.countMask &+ 1
        record.pointee.failureStamp.store(UInt64(error.code) << 56 | count, ordering: .sequentiallyConsistent)
    }

    /// A number that changes with each failed sync. A write-out notes it when it begins.
    var failureStamp: UInt64 { record.pointee.failureStamp.load(ordering: .sequentiallyConsistent) }

    /// The error of the last failed sync, if one has failed since `failureStamp` was `stamp`; otherwise nil.
    func failure(since stamp: UInt64) -> AccessError? {
        let now = failureStamp
        return now == stamp ? nil : AccessError(Int32(now >> 56))
    }
}
