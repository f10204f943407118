/// Large flexpages of which only a part is written are split first.
///
/// What is dirty is not recycled, and a flexpage is recycled whole: one dirty base page would keep up to 256 frames, and
/// some 1600 of them scattered over 256 MiB all of the memory, long before the limit of dirt, which counts base pages, is
/// reached. So the written part becomes flexpages of its own, and what lies around it stays clean. The pieces are halves
/// of halves, as the Memory's Regions are, and keep the whole one's place in the PageQueue and its hits.
extension PageMapper {
    /// Most pieces that a flexpage is split into: at each of the two ends of the written part, and at each order below the
    /// largest, one inside of it and one outside.
    private static let mostPieces = 32

    /// Splits flexpage `id`, if it reaches over `written`, part of it, and nobody has it. The shard's lock is held.
    /// - Returns: The flexpage that covers the first page of `written` now; `id` where it has not been split.
    func splitOff(
        _ written: Range<UInt64>, from id: FlexpageID, on shard: UnsafeMutablePointer<Shard>
    ) -> FlexpageID {
        let covered = reach.pointee.table[id].covered
        guard written.count < covered.count else { return id }
        let state = PageState(reach.pointee.table.word(id).pointee.state.load(ordering: .acquiring))
        guard state.isLendableExclusively else { return id }
        var pieces = Pieces()
        pieces.cut(reach.pointee.table.region(of: id), at: covered.lowerBound, around: written)
        let isSplit = reach.pointee.queue.replace(id, count: pieces.count) { index in
            makePiece(pieces.regions[index], of: covered, at: pieces.firstPages[index], like: state)
        }
        // Where a recycler has it in hand it stays whole: then there is no lack of memory either.
        guard isSplit else { return id }
        for index in 0..<pieces.count { reach.pointee.map.rename(pieces.regions[index].first) }
        reach.pointee.map.updateStates(of: covered)
        // Who waits for the whole one looks for a piece.
        if state.has(PageState.awaited) { shard.wakeAll() }
        return reach.pointee.map.flexpage(at: written.lowerBound)
    }

    private func makePiece(
        _ region: Region, of covered: Range<UInt64>, at page: UInt64, like state: PageState
    ) -> FlexpageID {
        // The mark tells at the first page of what was marked.
        let kept =
            PageState.populated | PageState.ahead | PageState.hitMask
            | (page == covered.lowerBound ? PageState.marked : 0)
        return reach.pointee.table.make(
            region, key: PageKey(image: reach.pointee.map.image, page: page), state: state.raw & kept)
    }

    /// The pieces of a flexpage, in order.
    private struct Pieces {
        var count = 0
        var regions = InlineArray<32, Region>(repeating: Region(first: 0, order: 0))
        var firstPages = InlineArray<32, UInt64>(repeating: 0)

        /// Cuts `region`, whose first base page is `page`, until each piece lies in `written` or outside of it.
        mutating func cut(_ region: Region, at page: UInt64, around written: Range<UInt64>) {
            let pages = page..<page + UInt64(region.frames)
            let common = pages.clamped(to: written)
            guard !common.isEmpty, common != pages else {
                precondition(count < PageMapper.mostPieces, "there are no more pieces than ends and orders")
                regions[count] = region
                firstPages[count] = page
                count += 1
                return
            }
            cut(region.lowerHalf, at: page, around: written)
            cut(region.upperHalf, at: page + UInt64(region.frames / 2), around: written)
        }
    }
}
