/// How a flexpage is split if only a part of it is kept.
///
/// A dirty page is not recycled, and a flexpage is recycled whole. So one dirty base page would keep up to 256 frames.
/// Some 1600 of them, scattered over 256 MiB, would keep all of the memory, long before the dirty limit is reached,
/// which counts base pages. Therefore flexpages are split on these occasions:
/// - A part is written (PageMapper+Splitting).
/// - A part lies inside a zero or trim (PageMapper+Zeroing).
/// - A part could not be written out, and the rest is clean (WriteBatch).
/// - A part is dirty all the same, because the flexpage was in use on the other occasions, and memory is short.
extension Pages {
    /// Splits flexpage `id` of `map` until each piece lies wholly in `part` or wholly outside of it. The pieces are
    /// halves of halves, like the Memory's Regions, and keep the position and the hits of the whole one. O(pieces, and
    /// leaves of the flexpage).
    /// - Returns: False if it is left whole: `part` is all of it, or none; a thread has it; or a recycler has it in
    ///   hand.
    func split(
        _ id: FlexpageID, around part: PageSet, in map: AccessMap, _ chunk: borrowing LockedChunk
    ) -> Bool {
        let covered = table[id].covered
        let state = table.state(of: id)
        let count = countPieces(of: covered, around: part)
        guard count > 1, state.isLendableExclusively else { return false }
        var page = covered.lowerBound
        let isSplit = queue.replace(id, count: count) { _ in
            let order = orderOfPiece(at: page, of: covered, around: part)
            defer { page += 1 << UInt64(order) }
            let frame = id + FlexpageID(truncatingIfNeeded: page - covered.lowerBound)
            // The mark goes to the first page of what was marked.
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
            map.rename(piece, in: chunk)
            page = table[piece].covered.upperBound
        }
        map.updateStates(of: covered, in: chunk)
        // A thread that waits for the whole one looks for a piece.
        if state.has(PageState.hasWaiters) { chunk.wakeAll() }
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

    /// Splits those of the flexpages covering `pages` of which only a part is dirty and which no thread has. All of
    /// `pages` are resident.
    func splitOffDirtyPages(of pages: Range<UInt64>, in map: AccessMap, _ chunk: borrowing LockedChunk) {
        map.forEachFlexpage(of: pages, in: chunk) { id in
            _ = split(id, around: map.dirtyPages(of: table[id].covered, in: chunk), in: map, chunk)
        }
    }

    /// Splits a flexpage of which only a part is dirty and which no thread has, so that the rest of it can be recycled.
    /// - Returns: False if there is none. O(frames) then.
    func splitOne() -> Bool {
        guard dirtyLimit.pages > 0 else { return false }
        var frame: FlexpageID = 0
        while let queued = queue.dirtyFlexpage(from: &frame, upTo: FlexpageID(frames)) {
            let map = accessMap(ofImage: queued.key.image)
            let id = queued.region.first
            let isSplit = map.chunk(of: queued.key.page).withLock { chunk in
                // It may have become another since.
                map.flexpage(at: queued.key.page, in: chunk) == id
                    && split(id, around: map.dirtyPages(of: table[id].covered, in: chunk), in: map, chunk)
            }
            if isSplit { return true }
        }
        return false
    }
}
