import Glibc

/// Flushes: a write-out of what is dirty, and a sync.
extension Durability {
    /// Makes durable every write, zero and trim that was answered before the call.
    ///
    /// A flush ends the Ledger's epoch and writes out once what that epoch and earlier ones dirtied. It waits for what
    /// other threads are writing out of that, and syncs. Pages dirtied later are not chased. O(what is dirty).
    ///
    /// Callers that come while a flush is under way share the next one, its write-out and its sync together. When the
    /// write-out and the sync were shared separately, half of the clients waited for either, and there were twice as
    /// many syncs.
    /// - Parameter effort: What is done for pages that are known to be bad. They fail the flush in any case.
    /// - Throws: The first error of the write-outs; the error that keeps older data from going out; the sync's error,
    ///   for good if it lost data that is not in memory any more.
    func flush(_ effort: WriteBatch.Effort = .again) throws(AccessError) {
        // The helper takes pains with bad pages, for clients. What nobody waits for is not left to it. A flush that
        // clients share takes the same pains.
        try flushes.share(byItself: effort != .again) {
            let error = flushAlone(effort == .due && flushes.leadsForOthers ? .again : effort)
            if flushes.wantsHelp { startFlushThread() }
            return error
        }
    }

    /// Callers wait for the next flush. The thread keeps no reference, because its end must not be the image's. Each
    /// flush that it leads has callers, and they keep the image.
    private func startFlushThread() {
        let durability = Unmanaged.passUnretained(self)
        flushThread.start { durability._withUnsafeGuaranteedRef { $0.flushAlone(.again) } }
    }

    /// How often a flush begins again because the image was reached anew.
    private static let maxFlushes = 20

    /// One flush, while no other is under way. If the image was reached anew, what it may have forgotten is dirty
    /// again, unless that is lost.
    private func flushAlone(_ effort: WriteBatch.Effort) -> AccessError? {
        var error = flushOnce(effort)
        for _ in 1..<Durability.maxFlushes where error?.code == ESTALE && lost == nil { error = flushOnce(effort) }
        return error
    }

    private func flushOnce(_ effort: WriteBatch.Effort) -> AccessError? {
        let failureCount = syncFailureCount
        let failure = writeOut(upTo: ledger.endEpoch(), effort)
        tellNews()
        // Another thread may write older data out while the sync is under way. That is too late for this sync.
        let standing = ledger.error
        do throws(AccessError) {
            try sync(since: failureCount)
        } catch {
            return error
        }
        return failure ?? standing ?? ledger.error
    }

    /// Writes out once everything that was dirtied in `epoch` or before.
    private func writeOut(upTo epoch: UInt32, _ effort: WriteBatch.Effort) -> AccessError? {
        let stamp = risk.failureStamp
        var failure: AccessError?
        while true {
            let (leaves, error) = pages.writebackQueue.writeOut(provider, effort) {
                ledger.oldestDirty(upTo: epoch, into: $0)
            }
            failure = failure ?? error
            // What went out while a sync failed is not chased: every caller of this write-out fails because of that
            // sync.
            if leaves == 0 || risk.failureStamp != stamp { return failure }
        }
    }

    /// The flush at the end, when what is not out is lost. If it fails, each page is tried alone, for at most ten
    /// seconds, and what has gone out is synced.
    /// - Throws: As `flush`.
    func flushAtLast() throws(AccessError) {
        do throws(AccessError) {
            try flush()
        } catch {
            provider.mapper.writeOutAtLast()
            try sync()
            if let error = ledger.error { throw error }
        }
    }

    /// Flushes, unless nothing has happened to the image since the last call that succeeded. One thread at a time.
    /// - Throws: As `flush`.
    func flushIfChanged() throws(AccessError) {
        let atRisk = risk.atRisk
        let isUnchanged =
            ledger.dirtyLeaves == 0 && risk.unsyncedPages == 0 && !risk.isChanging && atRiskWhenLastFlushed == atRisk
        if isUnchanged { return }
        atRiskWhenLastFlushed = nil
        try flush()
        atRiskWhenLastFlushed = atRisk
    }

    /// Whether the Writeback may have something to do for the image. O(1), and no I/O.
    var mayNeedWriteback: Bool {
        ledger.dirtyLeaves > 0 || risk.unsyncedPages > 0 || hasLeftFlushes || ledger.hasNews
    }

    /// Notifies whoever runs the server if write-outs have begun to fail, or to work again.
    func tellNews() {
        if let news = ledger.news(dirtyPages: ledger.dirtyLimit.pagesOfImage) { pages.notify(news, provider) }
    }

    // MARK: Flushes that were left

    /// Leaves a flush that has failed to the Writeback. The Writeback flushes once a second until that has done what
    /// this flush was to do, and then reports it.
    func leaveFlush() { leftFlushes.wrappingAdd(1, ordering: .releasing) }

    /// Whether a client has left a flush.
    var hasLeftFlushes: Bool { leftFlushes.load(ordering: .relaxed) > 0 }

    /// Flushes for the clients that have left their flushes behind. One thread at a time.
    /// - Returns: How many of those flushes are completed: what they were about is durable, except for what a failed
    ///   sync has lost.
    func flushForThoseWhoLeft() -> Int {
        // A client that leaves a flush after this may have written after the flush below began.
        let count = leftFlushes.load(ordering: .acquiring)
        do throws(AccessError) {
            // No client waits for this flush: pages that are known to be bad are tried when they are due.
            try flush(.due)
        } catch {
            // No flush brings back what a failed sync has lost. When all else is out, there is nothing left to try.
            guard lost != nil, ledger.dirtyLeaves == 0 else { return 0 }
        }
        leftFlushes.wrappingSubtract(count, ordering: .relaxed)
        return count
    }
}
