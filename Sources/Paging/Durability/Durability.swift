import Synchronization

/// Of one image: whether what its clients wrote is durable. Syncs, and what a failed sync means; in the extension,
/// flushes.
///
/// A write-out brings a page to the image, and the page is *unsynced* from then on. A good sync
/// (`Accessor.makeDurable`) makes durable all that was written out before it began.
///
/// **What happens when a sync fails** (invariant 6). The image may have forgotten anything that it was given since the
/// last good sync, and a later sync that succeeds proves nothing about that. So a failed sync is never retried into
/// success. In this order (`syncAlone`, `noteFailedSync`):
/// 1. The failure changes the stamp of the `SyncRisk`. Pages that are on their way out now see that when they arrive,
///    and become dirty again (`AccessMap.undoWriteback`).
/// 2. Unsynced pages that are still in memory become dirty again (`dirtyUnsyncedAgain`): the next flush writes them out
///    once more.
/// 3. Whatever cannot be done again is lost: an unsynced page that was recycled, or that memory is too full to keep
///    dirty; a zero or a trim (`SyncRisk.atRisk`). If any of this has happened since the last good sync began, data is
///    lost (`lost`). Then every later flush and FUA write fails with that error until the image is opened anew.
/// 4. Whoever runs the server gets a `Notice`: of the first failure, of a loss that comes later, and of the end of the
///    trouble.
/// 5. All callers that share the sync get its error. So does a caller that began to write out before the failure and
///    wants its sync afterwards (`SharedSync.share(since:)`).
///
///     well ── sync fails, nothing is lost ──▶ failing ── sync succeeds ──▶ well
///       └── sync fails, something is lost ──▶ lost ◀── the same ──┘         (lost: until the image is opened anew)
///
/// Thread rules: any thread; the caller holds no lock and no loan. Costs: a sync takes O(leaves that it makes durable);
/// a failed one O(buckets and leaves of all images).
final class Durability: @unchecked Sendable {
    let pages: Pages
    private let accessor: any Accessor
    private let context: PageMapper.Context

    private let syncs = SharedSync()
    /// Flushes that wait together are one: one write-out of what is dirty, and one sync. A caller that has written out
    /// what it wants durable needs a sync alone, and shares that of a flush or of another caller.
    let flushes = SharedSync()
    /// Leads flushes while callers wait for them.
    let flushThread: FlushThread

    /// The error of the last sync; 0 if that was a good one.
    private let syncError = Atomic<Int32>(0)

    // These two belong to the thread that leads a sync.

    private var failuresSinceGoodSync: UInt64 = 0
    private var isLossTold = false

    // Of the extension.

    /// What was at risk when the last `flushIfChanged` that succeeded began.
    var atRiskWhenLastFlushed: UInt64?
    /// Flushes that have failed and whose clients have left. The Writeback goes on with them.
    let leftFlushes = Atomic<Int>(0)

    /// - Parameter isTakenOver: Another server has left data of the image, and what is known of it.
    init(_ context: PageMapper.Context, pages: Pages, accessor: any Accessor, isTakenOver: Bool) {
        self.context = context
        self.pages = pages
        self.accessor = accessor
        flushThread = FlushThread(flushes)
        context.map.ledger.prepare()
        if isTakenOver { context.map.risk.takeOver() } else { context.map.risk.prepare() }
    }

    deinit {
        flushThread.end()
        flushes.destroy()
        syncs.destroy()
    }

    /// Which leaves are dirty or unsynced.
    var ledger: Ledger { context.map.ledger }
    var risk: SyncRisk { context.map.risk }
    /// The owner of this Durability.
    var provider: Provider {
        guard let provider = context.provider else { preconditionFailure("a Provider is attached before it is used") }
        return provider.takeUnretainedValue()
    }

    // MARK: What holds now

    /// Why nothing written to this image can be called durable until it is opened anew, or nil.
    var lost: AccessError? { risk.loss }

    /// What keeps data from becoming durable at present, or nil.
    var trouble: AccessError? {
        if let error = ledger.error ?? lost { return error }
        let code = syncError.load(ordering: .acquiring)
        return code == 0 ? nil : AccessError(code)
    }

    // MARK: Syncs

    /// The number of failed syncs so far.
    var syncFailureCount: UInt64 { syncs.failureCount }

    /// Makes durable what has reached the image so far. Callers that want this at the same time share a sync.
    /// - Parameter since: What `syncFailureCount` was before the caller began to write out what it wants durable.
    /// - Throws: The sync's error, or that of an earlier one that lost data.
    func sync(since: UInt64? = nil) throws(AccessError) {
        try syncs.share(since: since) { syncAlone() }
        if let lost { throw lost }
    }

    /// One sync, while no other is under way.
    private func syncAlone() -> AccessError? {
        let number = ledger.beginSync()
        // What is counted as at risk before the sync begins has reached the image before it: the sync covers it.
        let atRisk = risk.atRisk
        risk.beginSync()
        do throws(AccessError) {
            try context.pace.sync(risk.unsyncedPages) { () throws(AccessError) in
                LockRank.assertNoneHeld()
                try context.latencies.syncs.measure { () throws(AccessError) in try accessor.makeDurable() }
            }
        } catch {
            noteFailedSync(error)
            risk.endSync()
            return error
        }
        noteGoodSync()
        risk.noteSync(of: atRisk)
        risk.endSync()
        markDurable(bySync: number)
        return nil
    }

    /// One sync by the last will, beside whatever other threads do. The next server must know what it loses.
    func syncByWill() throws(AccessError) {
        let isAnotherUnderWay = risk.beginSync()
        defer { if !isAnotherUnderWay { risk.endSync() } }
        do throws(AccessError) {
            try accessor.makeDurable()
        } catch {
            if risk.isChanging || risk.isAnythingAtRisk { risk.noteLoss(error) }
            throw error
        }
    }

    // MARK: A failed sync

    /// A sync has failed: see the type's comment.
    private func noteFailedSync(_ error: AccessError) {
        risk.countFailure(error)
        let isChanging = risk.isChanging
        // Before the pages, because the process may die in between, and the next server must know.
        if isChanging || risk.isAnythingAtRisk { risk.noteLoss(error) }
        dirtyUnsyncedAgain()
        if risk.isAnythingAtRisk { risk.noteLoss(error) }
        syncError.store(error.code, ordering: .releasing)
        failuresSinceGoodSync += 1
        let isLost = lost != nil
        if failuresSinceGoodSync == 1 || isLost && !isLossTold {
            pages.notify(.syncFailed(error, isLost: isLost), provider)
        }
        isLossTold = isLossTold || isLost
    }

    /// Makes everything dirty again that has been written out and is not known to be durable. O(buckets + leaves).
    private func dirtyUnsyncedAgain() {
        // Those that there are, and not those that are left when a limit is reached.
        let frames = pages.frames - pages.memory.withheldFrames.count
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            context.map.forEachLeaf(inShard: index) { id, leaf in
                guard leaf.image == context.map.image, leaf.pointee.unsynced != 0 else { return }
                dirtyAgain(id, leaf, frames: frames)
            }
            shard.unlock()
        }
    }

    /// Makes the leaf's unsynced pages dirty again. If that would leave too little memory for reads, the pages count as
    /// lost instead, as if they had been recycled. The shard's lock is held.
    private func dirtyAgain(_ id: LeafID, _ leaf: UnsafeMutablePointer<Leaf>, frames: Int) {
        // The thread that writes a page out looks after that page (`AccessMap.undoWriteback`).
        let again = leaf.pointee.unsynced & ~leaf.pointee.writing
        let newly = again & ~leaf.pointee.dirty
        risk.countUnsynced(-again.nonzeroBitCount)
        leaf.pointee.unsynced &= ~again
        if context.dirtyLimit.pages + newly.nonzeroBitCount > frames * 15 / 16 {
            risk.countAtRisk()
            settle(leaf, again & ~leaf.pointee.dirty)
            ledger.pagesDropped(id)
        } else {
            leaf.pointee.dirty |= again
            context.dirtyLimit.add(newly.nonzeroBitCount)
            if leaf.pointee.status.list == .unsynced { ledger.dirtiedAgain(id) }
        }
        context.map.chunk(of: leaf.firstPage).assumingLocked { chunk in
            context.map.updateStates(of: leaf.pages, in: chunk)
        }
    }

    // MARK: A good sync

    private func noteGoodSync() {
        guard failuresSinceGoodSync > 0 else { return }
        syncError.store(0, ordering: .releasing)
        if !isLossTold { pages.notify(.syncWorksAgain(failures: failuresSinceGoodSync), provider) }
        failuresSinceGoodSync = 0
    }

    /// Marks durable what had been written out before sync `number`, a good one, began. O(leaves marked).
    private func markDurable(bySync number: UInt32) {
        while let key = ledger.firstUnsynced(beforeSync: number) {
            let page = Leaf.firstPage(ofKey: key)
            context.map.chunk(of: page).withLock { chunk in
                guard let leaf = context.map.leaf(of: page, in: chunk),
                    ledger.markDurable(context.map.id(of: leaf), bySync: number)
                else { return }
                risk.countUnsynced(-leaf.pointee.unsynced.nonzeroBitCount)
                settle(leaf, leaf.pointee.unsynced & ~(leaf.pointee.dirty | leaf.pointee.writing))
                leaf.pointee.unsynced = 0
                context.map.updateStates(of: leaf.pages, in: chunk)
            }
        }
        context.waiters.wake()
    }

    /// The leaf's pages in `bits` are owed to the image no more. The shard's lock is held.
    private func settle(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8) {
        let reservations = context.reservations
        context.map.settle(leaf, bits) { reservations.overlaps($0..<$0 + 1) }
    }
}
