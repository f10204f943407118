import Synchronization

/// An open image: its Accessor, AccessMap and PageMapper. One per image however many clients have it open.
///
/// Made and ended by the ProviderRegistry. Thread rules: any thread, any time.
public final class Provider: @unchecked Sendable {
    /// What reaches the image.
    public let accessor: any Accessor
    public let identity: ImageIdentity
    /// Bytes in the image.
    public let size: Int64
    let mapper: PageMapper
    let image: UInt16
    private let pages: Pages
    private let syncs = SharedSync()
    /// Flushes that wait together are one: a write-out of what is dirty, and a sync. Who wants just a sync, because it
    /// has written out what it wants durable, shares that of a flush or another's.
    private let flushes = SharedSync()
    /// The watch's own: when epochs ended, and when what failed, writing out or syncing, is to be tried again
    /// (milliseconds).
    var epochs = EpochHistory()
    var nextRetry = 0
    var nextSync = 0
    /// What the Ledger had counted as at risk when the last `flushIfChanged` that did not fail began.
    private var atRiskWhenLastFlushed: UInt64?
    /// Flushes that have failed and whose clients have left; the Writeback goes on with them.
    private let leftFlushes = Atomic<Int>(0)
    /// Jobs of reading ahead that are being done; the PrefetchQueue's own, under its lock.
    var prefetchesUnderWay = 0
    /// What the Ledger had counted as at risk when the last good sync began; only who leads a sync touches it.
    private var atRiskWhenLastSynced: UInt64 = 0
    /// The error of a failed sync that lost what is not in memory any more; 0 while there was none (invariant 6).
    private let loss = Atomic<Int32>(0)
    /// The error of the last sync; 0 if it was a good one.
    private let syncError = Atomic<Int32>(0)
    /// Syncs that failed since the last good one, and whether the loss has been told; as `atRiskWhenLastSynced`.
    private var failuresSinceGoodSync: UInt64 = 0
    private var isLossTold = false

    init(identity: ImageIdentity, image: UInt16, pages: Pages, accessor: any Accessor) {
        self.identity = identity
        self.image = image
        self.accessor = accessor
        self.pages = pages
        size = accessor.size
        mapper = PageMapper(image: image, pages: pages, accessor: accessor)
        mapper.context.map.ledger.prepare()
        mapper.attach(to: self)
        pages.will.enlist(self)
    }

    deinit {
        pages.will.withdraw(self)
        flushes.destroy()
        syncs.destroy()
    }

    /// What of the image is dirty or not yet durable.
    var ledger: Ledger { mapper.context.map.ledger }

    /// Makes durable every write, zero and trim that was answered before the call.
    ///
    /// It ends the Ledger's epoch, writes out once what that and earlier ones dirtied, waits for what others are
    /// writing out of it, and syncs. Pages dirtied later are not chased. O(what is dirty).
    ///
    /// Those who come while one is under way share the next, its write-out and its sync together: with each of the two
    /// shared by itself, half of the clients waited for either, and twice as many syncs were made.
    /// - Throws: The first error of the write-outs; the error that keeps older data from going out; the sync's error,
    ///   for good where it lost data that is not in memory any more.
    public func flush() throws(AccessError) { try flush(.again) }

    /// The same.
    /// - Parameter effort: What is done for pages that are known to be bad: they fail it in any case.
    private func flush(_ effort: WriteBatch.Effort) throws(AccessError) {
        try flushes.share { flushAlone(effort) }
    }

    /// The flush of the end, when what is not out is lost. If it fails, each page is tried alone, for ten seconds at
    /// the most, and what has gone out is synced.
    public func flushAtLast() throws(AccessError) {
        do throws(AccessError) {
            try flush()
        } catch {
            mapper.writeOutAtLast()
            try sync()
            if let error = ledger.error { throw error }
        }
    }

    /// One flush, while no other is under way.
    private func flushAlone(_ effort: WriteBatch.Effort) -> AccessError? {
        let failureCount = syncs.failureCount
        let failure = writeOut(upTo: ledger.endEpoch(), effort)
        tellNews()
        // Older data may be written out by somebody else while the sync is under way: too late for it.
        let standing = ledger.error
        do throws(AccessError) {
            try sync(since: failureCount)
        } catch {
            return error
        }
        return failure ?? standing ?? ledger.error
    }

    /// Flushes, unless nothing has happened to the image since this did so last. One thread at a time.
    /// - Throws: As `flush`.
    public func flushIfChanged() throws(AccessError) {
        let atRisk = ledger.atRisk
        let isUnchanged =
            ledger.dirtyLeaves == 0 && ledger.unsyncedPages == 0 && !ledger.isChanging
            && atRiskWhenLastFlushed == atRisk
        if isUnchanged { return }
        atRiskWhenLastFlushed = nil
        try flush()
        atRiskWhenLastFlushed = atRisk
    }

    /// Leaves a flush that has failed to the Writeback, which flushes once a second until that has done what this one
    /// was to do, and then says so.
    public func leaveFlush() { leftFlushes.wrappingAdd(1, ordering: .releasing) }

    /// Whether there is a flush that somebody has left.
    var hasLeftFlushes: Bool { leftFlushes.load(ordering: .relaxed) > 0 }

    /// Forgets all that was read of the image, because somebody else may have changed it: what is read from now on is
    /// what the image holds now. Reads may be under way, and are waited for; nobody may be writing, and nothing be
    /// dirty. O(all flexpages and buckets).
    /// - Returns: How many base pages were in memory.
    public func forgetImage() -> Int { mapper.forgetImage() }

    /// Flushes for those who have left their flushes behind. One thread at a time.
    /// - Returns: How many flushes that has completed: what they were about is durable, but for what a failed sync has
    ///   lost.
    func flushForThoseWhoLeft() -> Int {
        // Who leaves one after this may have written after the flush began.
        let count = leftFlushes.load(ordering: .acquiring)
        do throws(AccessError) {
            // Nobody waits for it: what is known to be bad is tried when it is due.
            try flush(.due)
        } catch {
            // What a failed sync has lost no flush brings back. When all else is out there is nothing to try any more.
            guard lost != nil, ledger.dirtyLeaves == 0 else { return 0 }
        }
        leftFlushes.wrappingSubtract(count, ordering: .relaxed)
        return count
    }

    /// Tells of write-outs that have begun to fail, or to work again.
    func tellNews() {
        if let news = ledger.news(dirtyPages: pages.dirtyLimit.pages) { pages.notify(news) }
    }

    /// Writes out once everything dirtied in `epoch` or before.
    private func writeOut(upTo epoch: UInt32, _ effort: WriteBatch.Effort) -> AccessError? {
        let stamp = ledger.syncFailureStamp
        var failure: AccessError?
        while true {
            let (leaves, error) = pages.writebackQueue.writeOut(self, effort) {
                ledger.oldestDirty(upTo: epoch, into: $0)
            }
            failure = failure ?? error
            // What went out while a sync failed is not chased: whoever wants this write-out fails because of that sync.
            if leaves == 0 || ledger.syncFailureStamp != stamp { return failure }
        }
    }

    /// Makes durable what has reached the image so far; shared among those who want it at the same time.
    /// - Parameter since: What `syncFailureCount` was before the caller began to write out what it wants durable.
    /// - Throws: The sync's error; that of an earlier one that lost data.
    func sync(since: UInt64? = nil) throws(AccessError) {
        try syncs.share(since: since) { syncAlone() }
        if let lost { throw lost }
    }

    /// Syncs that have failed so far.
    var syncFailureCount: UInt64 { syncs.failureCount }

    /// Why nothing written to this image can be called durable until it is opened anew, or nil.
    public var lost: AccessError? {
        let code = loss.load(ordering: .acquiring)
        return code == 0 ? nil : AccessError(code)
    }

    /// What keeps data from becoming durable at present, or nil; `Notice`s tell of its beginning and its end.
    public var trouble: AccessError? {
        if let error = ledger.error ?? lost { return error }
        let code = syncError.load(ordering: .acquiring)
        return code == 0 ? nil : AccessError(code)
    }

    /// One sync, while no other is under way.
    private func syncAlone() -> AccessError? {
        let (number, atRisk) = ledger.beginSync()
        do throws(AccessError) {
            try pages.pace.sync(ledger.unsyncedPages) { () throws(AccessError) in
                LockRank.assertNoneHeld()
                try accessor.makeDurable()
            }
        } catch {
            ledger.countFailedSync(error)
            let isChanging = ledger.isChanging
            mapper.dirtyUnsyncedAgain()
            // What has been recycled, zeroed or trimmed since cannot be done again: it may be lost.
            if isChanging || ledger.atRisk != atRiskWhenLastSynced { loss.store(error.code, ordering: .releasing) }
            noteFailedSync(error)
            return error
        }
        noteGoodSync()
        atRiskWhenLastSynced = atRisk
        mapper.markDurable(bySync: number)
        return nil
    }

    private func noteFailedSync(_ error: AccessError) {
        syncError.store(error.code, ordering: .releasing)
        failuresSinceGoodSync += 1
        let isLost = lost != nil
        if failuresSinceGoodSync == 1 || isLost && !isLossTold { pages.notify(.syncFailed(error, isLost: isLost)) }
        isLossTold = isLossTold || isLost
    }

    private func noteGoodSync() {
        guard failuresSinceGoodSync > 0 else { return }
        syncError.store(0, ordering: .releasing)
        if !isLossTold { pages.notify(.syncWorksAgain(failures: failuresSinceGoodSync)) }
        failuresSinceGoodSync = 0
    }
}
