/// Flexpages of which only a part is to be kept are split.
///
/// What is dirty is not recycled, and a flexpage is recycled whole: one dirty base page would keep up to 256 frames,
/// and some 1600 of them scattered over 256 MiB all of the memory, long before the dirty limit, which counts base
/// pages, is reached. So a written part becomes flexpages of its own (PageMapper+Splitting), and so does what lies
/// inside of a zero or trim (PageMapper+Dropping). Where a part could not be written out, and the rest is clean, it is
/// split too (WriteBatch). What is dirty only in part all the same, because somebody had it then, is split when memory
/// is short.
extension Pages {
    /// Splits flexpage `id` of `map` until each piece lies wholly in `part` or wholly outside of it. The pieces are
    /// halves of halves, as the Memory's Regions are, and keep the whole one's place in the PageQueue and its hits. The
    /// shard's lock is held. O(pieces, and leaves of the flexpage).
    /// - Returns: False where it is left whole: `part` is all of it, or none; somebody has it; or a recycler has it in
    ///   hand.
    func split(
        _ id: FlexpageID, around part: PageSet, in map: AccessMap, on shard: UnsafeMutablePointer<Shard>
    ) -> Bool {
        let covered = table[id].covered
        let state = PageState(table.word(id).pointee.state.load(ordering: .acquiring))
        let count = countPieces(of: covered, around: part)
        guard count > 1, state.isLendableExclusively else { return false }
        var page = covered.lowerBound
        let isSplit = queue.replace(id, count: count) { _ in
            let order = orderOfPiece(at: page, of: covered, around: part)
            defer { page += 1 << UInt64(order) }
            let frame = id + FlexpageID(truncatingIfNeeded: page - covered.lowerBound)
            // The mark tells at the first page of what was marked.
            let kept =
                PageState.populated | PageState.prefetched | PageState.hitMask
                | (page == covered.lowerBound ? PageState.marked : 0)
            return table.make(
                Region(first: frame, order: UInt8(order)), key: PageKey(image: map.image, page: page),
                state: state.raw & kept)
        }
        guard isSplit else { return false }
        page = covered.lowerBound
        while page < covered.upperBound {
            let piece = id + FlexpageID(truncatingIfNeeded: page - covered.lowerBound)
            map.rename(piece)
            page = table[piece].covered.upperBound
        }
        map.updateStates(of: covered)
        // Who waits for the whole one looks for a piece.
        if state.has(PageState.hasWaiters) { shard.wakeAll() }
        return true
    }

    private func countPieces(of covered: Range<UInt64>, around part: PageSet) -> Int {
        var count = 0
        var page = covered.lowerBound
        while page < covered.upperBound {
            page += 1 << UInt64(orderOfPiece(at: page, of: covered, around: part))
            count += 1
        }
        return count
    }

    /// The order of the piece that begins with `page`, where the one before it ends.
    private func orderOfPiece(at page: UInt64, of covered: Range<UInt64>, around part: PageSet) -> Int {
        var order = min(page.trailingZeroBitCount, Int(covered.upperBound - page).log2)
        while true {
            let pages = page..<page + 1 << UInt64(order)
            let count = part.count(in: pages)
            if count == 0 || count == pages.count { return order }
            order -= 1
        }
    }

    /// Splits those of the flexpages that cover `pages`, which lie in one chunk and are resident, of which only a part
    /// is dirty and which nobody has. The shard's lock is held.
    func splitOffDirtyPages(of pages: Range<UInt64>, in map: AccessMap, on shard: UnsafeMutablePointer<Shard>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let id = map.flexpage(at: page)
            let covered = table[id].covered
            _ = split(id, around: map.dirtyPages(of: covered), in: map, on: shard)
            page = covered.upperBound
        }
    }

    /// Splits a flexpage of which only a part is dirty and which nobody has, so that the rest of it can be recycled.
    /// - Returns: False where there is none. O(frames) then.
    func splitOne() -> Bool {
        guard dirtyLimit.pages > 0 else { return false }
        var frame: FlexpageID = 0
        while let queued = queue.dirtyFlexpage(from: &frame, upTo: FlexpageID(frames)) {
            let map = accessMap(ofImage: queued.key.image)
            let shard = map.shard(of: queued.key.page)
            shard.lock()
            let id = queued.region.first
            // It may have become another since.
            let isSplit =
                map.flexpage(at: queued.key.page) == id
                && split(id, around: map.dirtyPages(of: table[id].covered), in: map, on: shard)
            shard.unlock()
            if isSplit { return true }
        }
        return false
    }
}
