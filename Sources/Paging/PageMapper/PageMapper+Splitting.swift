/// Large flexpages of which only a part is written are split first: see Pages+Splitting.
extension PageMapper {
    /// Splits flexpage `id`, if it reaches over `written`, part of it, and nobody has it. The shard's lock is held.
    /// - Returns: The flexpage that covers the first page of `written` now; `id` where it has not been split.
    func splitOff(
        _ written: Range<UInt64>, from id: FlexpageID, on shard: UnsafeMutablePointer<Shard>
    ) -> FlexpageID {
        guard written.count < context.table[id].covered.count else { return id }
        // Where a recycler has it in hand it stays whole: then there is no lack of memory either.
        let isSplit = pages.split(id, around: PageSet(written), in: context.map, on: shard)
        return isSplit ? context.map.flexpage(at: written.lowerBound) : id
    }
}
