import Glibc

/// What a fill has read and found to be zeroes takes no memory: its flexpages leave the AccessMap again, and their base
/// pages are known zeroes instead.
///
/// A flexpage that is zeroes only in part is kept whole if less than a quarter is. Else it is cut in halves, and each
/// half is looked at in the same way. Of an ext4 image of 2 GiB filled with 590 MB of files, half of which had been
/// deleted again and trimmed, whole flexpages took 1.76 times the memory of what is not zero, cut ones 1.07 times;
/// cutting out each single page would bring it to 1.00, with a quarter more flexpages.
extension Fill {
    /// Of so many base pages one at least must be zeroes for a flexpage to be cut.
    private static let cutOnceIn = 4

    /// Looks for zeroes in what has been populated. No lock is held. Pages with a first word that is not zero, which is
    /// most, cost a cache line.
    /// - Parameter keeping: Keep them all the same: a writer is about to write there.
    /// - Returns: Whether all of it is zeroes.
    mutating func findZeroes(keeping: Bool = false) -> Bool {
        for index in 0..<issued {
            let flexpage = context.table[ids[index]]
            var memory = UnsafeRawPointer(context.table.memory(of: ids[index]))
            for page in flexpage.covered {
                if BasePage.isZero(memory) { zeroes.insert(page) }
                memory += BasePage.size
            }
        }
        let isAllZero = zeroes.count == pagesInFlight
        if keeping { zeroes = PageSet() }
        return isAllZero
    }

    /// Takes flexpages, and parts of them, that are zeroes out of the AccessMap and notes them as known zeroes.
    /// `giveBackDropped` is to be called without the lock. The shard's lock is held.
    mutating func dropZeroes(on shard: UnsafeMutablePointer<Shard>) {
        guard !zeroes.isEmpty else { return }
        let planned = ids
        let (plannedIssued, plannedCount) = (issued, count)
        (issued, count) = (0, 0)
        var hasWaiters = false
        for index in 0..<plannedIssued { dropZeroes(of: planned[index], hasWaiters: &hasWaiters) }
        // What was planned and not issued is still to be given back.
        for index in plannedIssued..<plannedCount {
            ids[count] = planned[index]
            count += 1
        }
        context.map.noteZeroes(droppedPages, inChunkOf: covered.lowerBound)
        zeroes = PageSet()
        if hasWaiters { shard.wakeAll() }
    }

    private mutating func dropZeroes(of id: FlexpageID, hasWaiters: inout Bool) {
        let flexpage = context.table[id]
        let pages = flexpage.covered
        let zeroCount = zeroes.count(in: pages)
        let word = PageState(context.table.word(id).pointee.state.load(ordering: .relaxed))
        if zeroCount * Fill.cutOnceIn < pages.count || zeroCount < pages.count && word.pins > 1 {
            // Those who have pinned a flexpage and wait for it find it as they knew it.
            keep(id)
            return
        }
        hasWaiters = hasWaiters || word.has(PageState.hasWaiters)
        context.map.remove(id)
        if zeroCount == pages.count {
            drop(id)
        } else {
            cut(context.table.region(of: id), at: pages.lowerBound)
        }
    }

    /// Makes one flexpage, or some, or none, of a Region whose first base page is `page` and whom nobody else knows.
    private mutating func cut(_ region: Region, at page: UInt64) {
        let pages = page..<page + UInt64(region.frames)
        let zeroCount = zeroes.count(in: pages)
        guard zeroCount * Fill.cutOnceIn < pages.count || zeroCount == pages.count else {
            cut(region.lowerHalf, at: page)
            cut(region.upperHalf, at: page + UInt64(region.frames / 2))
            return
        }
        let id = make(region, at: page)
        if zeroCount == pages.count {
            drop(id)
        } else {
            context.map.insert(id)
            keep(id)
        }
    }

    private mutating func keep(_ id: FlexpageID) {
        ids[count] = id
        count += 1
        issued += 1
    }

    /// The flexpage is out of the AccessMap. Whoever waits for it, with a pin, is to look again; the last to give a pin
    /// back frees the Region.
    private mutating func drop(_ id: FlexpageID) {
        context.table.word(id).pointee.state.bitwiseOr(PageState.withdrawn, ordering: .releasing)
        dropped += 1
        // From the other end: kept and dropped flexpages together are no more than base pages.
        ids[ids.count - dropped] = id
        droppedPages.formUnion(PageSet(context.table[id].covered))
    }

    /// Gives the filler's pins on dropped flexpages back. No lock is held.
    func giveBackDropped() { giveBack(ids.count - dropped..<ids.count) }

    /// The beginning of `wanted`, as far as it was zeroes.
    func zeroes(of wanted: Range<Int64>) -> Range<Int64> {
        guard !wanted.isEmpty else { return wanted }
        let page = BasePage.number(of: wanted.lowerBound)
        let end = BasePage.offset(of: droppedPages.end(ofRunFrom: page, upTo: covered.upperBound))
        return wanted.lowerBound..<min(max(end, wanted.lowerBound), wanted.upperBound)
    }

    /// Zeroes the memory of what the planned flexpages have of the image, or past its end, and a writer of `written`
    /// does not write.
    func zeroAround(_ written: Range<Int64>) {
        guard count > 0 else { return }
        let begin = BasePage.offset(of: covered.lowerBound)
        let before = max(0, Int(written.lowerBound - begin))
        memset(context.table.memory(of: ids[0]), 0, before)
        let after = max(0, Int(BasePage.offset(of: covered.upperBound) - written.upperBound))
        let last = context.table[ids[count - 1]]
        let bytes = Int(last.pages) * BasePage.size
        memset(context.table.memory(of: ids[count - 1]) + (bytes - after), 0, after)
    }
}
