import Glibc
import Synchronization

/// Dirty base pages of an image on their way out: runs of neighbours, each one a vectored write, written together.
///
///     empty ── take ──▶ begun (pages are *writing*) ── submit ──▶ empty (pages clean and unsynced, or dirty again)
///
/// A run that fails is tried in parts at once (WriteBatch+Parts), so that one bad page keeps no neighbour off the
/// image. A page that has failed alone is known to be bad (BadPages), and is a run of its own from then on.
///
/// Runs are written together because many writes at once keep a disk busy and share one system call. On a virtual disk,
/// 4 KiB writes went out three times as fast as from eight threads one by one, for a quarter of the processor time.
///
/// While pages are begun and not yet submitted, the batch waits for nothing. If it cannot get something at once, it
/// submits what it has first (invariant 9). It lives on the writer's stack: 6 KiB, nothing allocated.
///
/// Thread rules: used by one thread.
struct WriteBatch: ~Copyable {
    /// The maximum number of base pages in a batch: 1 MiB.
    private static let capacity = 256

    /// Base pages side by side, written at once.
    struct Run {
        var pages: Range<UInt64>
        var firstPiece: Int
        var pieceCount: Int
        /// The run is one page that is known to be bad.
        var isBad: Bool
        /// The SyncRisk's stamp when the first page was begun.
        var syncFailureStamp: UInt64
    }

    let context: PageMapper.Context
    // WriteBatch+Parts uses what is not private.
    let accessor: any Accessor
    var pieces = InlineArray<256, iovec> { _ in iovec() }
    private var pieceCount = 0
    var runs = InlineArray<32, Run> { _ in
        Run(pages: 0..<0, firstPiece: 0, pieceCount: 0, isBad: false, syncFailureStamp: 0)
    }
    private(set) var runCount = 0
    private(set) var pageCount = 0
    /// The first error of all that has been submitted, or nil.
    private(set) var error: AccessError?
    /// Leave alone pages that a zero or trim has reserved. A reservation lasts as long as the image takes to zero the
    /// range. The watch serves all images, so it must not wait that long.
    private let passesOverReserved: Bool
    /// Whether reserved pages have been left alone.
    private(set) var hasPassedOver = false
    let effort: Effort
    /// How many pages known to be bad have failed again in a row.
    private var badInARow = 0

    /// What is done for pages that are known to be bad.
    enum Effort: Equatable {
        /// Those that are due are tried again: for the watch, which comes back to the others.
        case due
        /// They are tried again until eight have failed in a row: for a flush. The flush fails then, whether or not the
        /// other pages could be written.
        case again
        /// Everything is tried, each page alone if necessary, until this time of `MonotonicClock.milliseconds`: for the
        /// end, when what is not out is lost.
        case last(until: Int)
    }

    init(
        _ context: PageMapper.Context, _ accessor: any Accessor, passingOverReserved: Bool = false,
        _ effort: Effort = .again
    ) {
        self.context = context
        self.accessor = accessor
        self.effort = effort
        passesOverReserved = passingOverReserved
    }

    /// Why a leaf's pages were not all taken.
    private enum Obstacle {
        /// No reason: all were taken.
        case nothing
        /// What has been begun must be submitted first.
        case batch
        /// A writer holds this flexpage.
        case writer(FlexpageID)
        /// A zero or trim has reserved this page.
        case reservation(UInt64)
    }

    /// Begins those dirty pages of the leaf around `page` that are in `limits`, and submits the batch when it is full.
    /// Waits for writers, and for reservations unless it passes over them. No lock is held. A call of `finish` must
    /// follow.
    mutating func writeOut(leafOf page: UInt64, in limits: Range<UInt64>) {
        let pages = Leaf.around(page).clamped(to: limits)
        var next = pages.lowerBound
        let hashed = context.map.chunk(of: page)
        while true {
            let chunk = hashed.lock()
            switch take(&next, upTo: pages.upperBound, in: chunk) {
            case .nothing:
                chunk.unlock()
                return
            case .batch:
                chunk.unlock()
                submit()
            case .writer(let id):
                context.waitUntilReleased(id, in: chunk)
                chunk.unlock()
            case .reservation(let page):
                chunk.unlock()
                context.reservations.wait(for: page..<page + 1)
            }
        }
    }

    /// Begins the dirty pages from `next` to `end` while there is room.
    private mutating func take(
        _ next: inout UInt64, upTo end: UInt64, in chunk: borrowing LockedChunk
    ) -> Obstacle {
        guard let leaf = context.map.leaf(of: next, in: chunk) else { return .nothing }
        while next < end {
            let bit = Leaf.bit(of: next)
            if leaf.pointee.dirty & bit != 0 {
                let id = leaf.pointee.flexpages[Leaf.index(of: next)]
                let isBad = leaf.pointee.status.hasFailed && isKnownBad(next, of: id)
                if isBad, !isToBeTried(next, of: id) {
                    context.map.ledger.putOff(context.map.id(of: leaf))
                    next += 1
                    continue
                }
                guard hasRoom(for: next, isBad) else { return .batch }
                let state = context.table.state(of: id)
                if state.has(PageState.exclusive) { return runCount == 0 ? .writer(id) : .batch }
                if context.reservations.overlaps(next..<next + 1) {
                    if passesOverReserved {
                        hasPassedOver = true
                        next += 1
                        continue
                    }
                    return runCount == 0 ? .reservation(next) : .batch
                }
                leaf.pointee.dirty &= ~bit
                leaf.pointee.writing |= bit
                context.table.word(id).pointee.state.bitwiseOr(
                    PageState.writing, ordering: .acquiringAndReleasing)
                add(next, of: id, isBad)
            }
            next += 1
        }
        if leaf.pointee.dirty == 0 { context.map.ledger.allDirtyTaken(context.map.id(of: leaf)) }
        return .nothing
    }

    private func isKnownBad(_ page: UInt64, of id: FlexpageID) -> Bool {
        context.table.badPages.isBad(context.table.frame(of: page, in: id))
    }

    /// Whether a page that is known to be bad should be tried this time.
    private func isToBeTried(_ page: UInt64, of id: FlexpageID) -> Bool {
        if case .last(let until) = effort { return MonotonicClock.milliseconds < until }
        guard badInARow < WriteBatch.maxFailuresInARow else { return false }
        let table = context.table
        return effort == .again || table.badPages.isDue(table.frame(of: page, in: id), at: BadPages.now)
    }

    private func hasRoom(for page: UInt64, _ isBad: Bool) -> Bool {
        pageCount < WriteBatch.capacity && (runCount < runs.count || continuesRun(page, isBad))
    }

    /// Whether the page can join the last run.
    private func continuesRun(_ page: UInt64, _ isBad: Bool) -> Bool {
        runCount > 0 && runs[runCount - 1].pages.upperBound == page && !isBad && !runs[runCount - 1].isBad
    }

    private mutating func add(_ page: UInt64, of id: FlexpageID, _ isBad: Bool) {
        let position = Int(page - context.table[id].pointee.key.page) * BasePage.size
        let memory = context.table.memory(of: id) + position
        if continuesRun(page, isBad) {
            runs[runCount - 1].pages = runs[runCount - 1].pages.lowerBound..<page + 1
            let last = pieces[pieceCount - 1]
            if last.iov_base + last.iov_len == memory {
                pieces[pieceCount - 1].iov_len += BasePage.size
            } else {
                addPiece(memory)
            }
        } else {
            runs[runCount] = Run(
                pages: page..<page + 1, firstPiece: pieceCount, pieceCount: 0, isBad: isBad,
                syncFailureStamp: context.map.risk.failureStamp)
            runCount += 1
            addPiece(memory)
        }
        pageCount += 1
    }

    private mutating func addPiece(_ memory: UnsafeMutableRawPointer) {
        pieces[pieceCount] = iovec(iov_base: memory, iov_len: BasePage.size)
        pieceCount += 1
        runs[runCount - 1].pieceCount += 1
    }

    /// Submits what has been begun. The last call of a batch.
    mutating func finish() {
        if runCount > 0 { submit() }
    }

    /// Writes what has been begun to the image and ends its write-back. No lock is held.
    private mutating func submit() {
        let failures = write()
        var hasFailed = false
        for index in 0..<runCount {
            let run = runs[index]
            if run.isBad { badInARow = failures[index] == nil ? 0 : badInARow + 1 }
            if failures[index] == nil { end(run.pages, of: run, nil) } else { hasFailed = true }
        }
        if hasFailed { tryInParts(failures) }
        // Either a thread that is about to sleep for want of memory sees what has failed, or this thread sees that it
        // waits.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        context.dirtyLimit.wakeWaiters()
        context.waiters.wake()
        runCount = 0
        pieceCount = 0
        pageCount = 0
    }

    /// Writes all runs.
    /// - Returns: The error of each run, or nil.
    private func write() -> InlineArray<32, AccessError?> {
        pieces.span.withUnsafeBufferPointer { pieces in
            var writes = InlineArray<32, WriteOut> { index in
                guard index < runCount else { return WriteOut(UnsafeBufferPointer(rebasing: pieces[0..<0]), at: 0) }
                let run = runs[index]
                let part = pieces[run.firstPiece..<run.firstPiece + run.pieceCount]
                return WriteOut(UnsafeBufferPointer(rebasing: part), at: BasePage.offset(of: run.pages.lowerBound))
            }
            var span = writes.mutableSpan
            span.withUnsafeMutableBufferPointer { all in
                LockRank.assertNoneHeld()
                context.latencies.writeOuts.measure {
                    accessor.writeOut(UnsafeMutableBufferPointer(rebasing: all[0..<runCount]))
                }
            }
            return InlineArray { writes[$0].error }
        }
    }

    /// Ends the write-back of `pages`, all of `run` or the part of it that was written together.
    mutating func end(_ pages: Range<UInt64>, of run: Run, _ failure: AccessError?) {
        assert(run.pages.contains(pages.lowerBound) && pages.upperBound <= run.pages.upperBound, "a part of the run")
        let isAlone = pages.count == 1
        for part in pages.chunkParts {
            let partFailure = endWriteback(part, failure, isAlone: isAlone, since: run.syncFailureStamp)
            if error == nil { error = partFailure }
        }
    }

    /// Ends the write-back of `pages`, which lie in one chunk, and wakes the threads that wait for them.
    /// - Parameter failure: Why they are not on the image, or nil.
    /// - Parameter isAlone: Whether `pages` is one page that was tried alone.
    /// - Parameter syncFailureStamp: The SyncRisk's stamp when they were begun.
    /// - Returns: The same failure, or the error of a sync that has failed since: it may have lost them.
    private func endWriteback(
        _ pages: Range<UInt64>, _ failure: AccessError?, isAlone: Bool, since syncFailureStamp: UInt64
    ) -> AccessError? {
        let chunk = context.map.chunk(of: pages.lowerBound).lock()
        let syncFailure = context.map.risk.failure(since: syncFailureStamp)
        if let failure {
            context.map.failWriteback(pages, failure, isAlone: isAlone, in: chunk)
            // It may take long until they can be written, and must not keep the pages around them in memory.
            context.pages.splitOffDirtyPages(of: pages, in: context.map, chunk)
            chunk.shard.pointee.failedWrites += 1
            context.map.counters.countFailedWrite()
        } else if syncFailure != nil {
            context.map.undoWriteback(pages, in: chunk)
        } else {
            context.map.endWriteback(pages, in: chunk)
            context.dirtyLimit.wroteOut(pages.count)
            chunk.shard.pointee.writes += 1
            chunk.shard.pointee.pagesWritten += UInt64(pages.count)
            context.map.counters.countWrite(pages.count)
        }
        context.wakeWaiters(for: pages, in: chunk)
        chunk.unlock()
        return failure ?? syncFailure
    }
}
