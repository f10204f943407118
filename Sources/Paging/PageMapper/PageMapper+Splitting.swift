/// Large flexpages of which only a part is written are split first: see Pages+Splitting.
extension PageMapper {
    /// Splits flexpage `id`, if it reaches over `written`, part of it, and nobody has it.
    /// - Returns: The flexpage that covers the first page of `written` now; `id` if it has not been split.
    func splitOff(
        _ written: Range<UInt64>, from id: FlexpageID, in chunk: borrowing LockedChunk
    ) -> FlexpageID {
        assert(!written.isEmpty && context.table[id].covered.contains(written), "what is written is part of it")
        guard written.count < context.table[id].covered.count else { return id }
        // If a recycler has it in hand it stays whole: then there is no lack of memory either.
        let isSplit = pages.split(id, around: PageSet(written), in: context.map, chunk)
        return isSplit ? context.map.flexpage(at: written.lowerBound, in: chunk) : id
    }
}
