import Glibc

/// Dirty base pages side by side in an image, on their way out in one vectored write.
///
///     empty ── take ──▶ begun (pages are *writing*) ── issue ──▶ empty (pages clean and unsynced, or dirty again)
///
/// While pages are begun and not issued the run waits for nothing: what cannot be had at once makes it issue what it has
/// (invariant 9). It lives on the writer's stack: 4 KiB, nothing allocated. One thread's own.
struct WriteRun: ~Copyable {
    /// Most base pages in a run: 1 MiB.
    private static let capacity = 256

    private let reach: PageMapper.Reach.Pointer
    private let accessor: any Accessor
    private var pieces = InlineArray<256, iovec> { _ in iovec() }
    private var pieceCount = 0
    /// The base pages begun.
    private var pages: Range<UInt64> = 0..<0
    /// The Ledger's count of failed syncs when the first of them was begun.
    private var failedSyncs: UInt64 = 0
    /// The first error of all that has been issued, or nil.
    private(set) var error: AccessError?

    init(_ reach: PageMapper.Reach.Pointer, _ accessor: any Accessor) {
        self.reach = reach
        self.accessor = accessor
    }

    /// Why a leaf's pages were not all taken.
    private enum Obstacle {
        /// None: all were.
        case nothing
        /// What has been begun must be issued first.
        case run
        /// A writer holds this flexpage.
        case writer(FlexpageID)
        /// A zero or trim has reserved this page.
        case reservation(UInt64)
    }

    /// Begins, and where they do not join issues, the dirty pages of the leaf that `page` lies in, as far as they are in
    /// `limits`. Waits for writers and reservations. No lock is held. `finish` must follow at last.
    mutating func writeOut(leafOf page: UInt64, in limits: Range<UInt64>) {
        let leafPages = (page & ~7)..<(page | 7) + 1
        var next = max(leafPages.lowerBound, limits.lowerBound)
        let end = min(leafPages.upperBound, limits.upperBound)
        let shard = reach.pointee.map.shard(of: page)
        while true {
            shard.lock()
            switch take(&next, upTo: end) {
            case .nothing:
                shard.unlock()
                return
            case .run:
                shard.unlock()
                issue()
            case .writer(let id):
                reach.pointee.waitUntilSettled(id, on: shard)
                shard.unlock()
            case .reservation(let page):
                shard.unlock()
                reach.pointee.reservations.wait(for: page..<page + 1)
            }
        }
    }

    /// Begins dirty pages from `next` on, before `end`, while they join the run. The shard's lock is held.
    private mutating func take(_ next: inout UInt64, upTo end: UInt64) -> Obstacle {
        guard let leaf = reach.pointee.map.leaf(of: next) else { return .nothing }
        while next < end {
            let bit = UInt8(1) << UInt8(next & 7)
            if leaf.pointee.dirty & bit != 0 {
                if !pages.isEmpty, next != pages.upperBound || pages.count == WriteRun.capacity { return .run }
                let id = leaf.pointee.flexpages[Int(next & 7)]
                let state = PageState(reach.pointee.table[id].pointee.state.load(ordering: .acquiring))
                if state.has(PageState.exclusive) { return pages.isEmpty ? .writer(id) : .run }
                if reach.pointee.reservations.overlaps(next..<next + 1) {
                    return pages.isEmpty ? .reservation(next) : .run
                }
                leaf.pointee.dirty &= ~bit
                leaf.pointee.writing |= bit
                reach.pointee.table[id].pointee.state.bitwiseOr(PageState.writing, ordering: .acquiringAndReleasing)
                add(next, of: id)
            }
            next += 1
        }
        if leaf.pointee.dirty == 0 { reach.pointee.map.ledger.tookWhole(reach.pointee.map.id(of: leaf)) }
        return .nothing
    }

    private mutating func add(_ page: UInt64, of id: FlexpageID) {
        let position = Int(page - reach.pointee.table[id].pointee.key.page) * BasePage.size
        let memory = reach.pointee.table.memory(of: id) + position
        if pieceCount > 0, pieces[pieceCount - 1].iov_base + pieces[pieceCount - 1].iov_len == memory {
            pieces[pieceCount - 1].iov_len += BasePage.size
        } else {
            pieces[pieceCount] = iovec(iov_base: memory, iov_len: BasePage.size)
            pieceCount += 1
        }
        if pages.isEmpty { failedSyncs = reach.pointee.map.ledger.failedSyncs }
        pages = pages.isEmpty ? page..<page + 1 : pages.lowerBound..<page + 1
    }

    /// Issues what has been begun.
    mutating func finish() {
        if !pages.isEmpty { issue() }
    }

    /// Writes what has been begun to the image and ends its write-back. No lock is held.
    private mutating func issue() {
        let failure = write()
        var left = pages
        while !left.isEmpty {
            let end = min((left.lowerBound | UInt64(Chunk.pages - 1)) + 1, left.upperBound)
            let partFailure = endWriteback(left.lowerBound..<end, failure)
            if error == nil { error = partFailure }
            left = end..<left.upperBound
        }
        reach.pointee.dirt.wakeWaiters()
        reach.pointee.waiters.wake()
        pages = 0..<0
        pieceCount = 0
    }

    private func write() -> AccessError? {
        let offset = BasePage.offset(of: pages.lowerBound)
        return pieces.span.extracting(first: pieceCount).withUnsafeBufferPointer { pieces in
            do throws(AccessError) {
                try accessor.writeOut(pieces, at: offset)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Ends the write-back of `pages`, which lie in one chunk, and wakes who waits for them.
    /// - Parameter failure: Why they are not on the image, or nil.
    /// - Returns: The same, or the error of a sync that has failed since they were begun: it may have lost them.
    private func endWriteback(_ pages: Range<UInt64>, _ failure: AccessError?) -> AccessError? {
        let shard = reach.pointee.map.shard(of: pages.lowerBound)
        shard.lock()
        defer { shard.unlock() }
        let failure = failure ?? reach.pointee.map.ledger.syncFailure(since: failedSyncs)
        if let failure {
            reach.pointee.map.failWriteback(pages, failure)
            shard.pointee.failedWrites += 1
        } else {
            reach.pointee.map.endWriteback(pages)
            reach.pointee.dirt.release(pages.count)
            shard.pointee.writes += 1
            shard.pointee.pagesWritten += UInt64(pages.count)
        }
        reach.pointee.wakeWaiters(for: pages, on: shard)
        return failure
    }
}
