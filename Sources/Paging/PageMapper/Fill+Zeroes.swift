import Glibc

/// Zeroes that a fill has read take no memory. Their flexpages leave the AccessMap again, and their base pages become
/// known zeroes.
///
/// A flexpage of which less than a quarter is zeroes is kept whole. If it is more, the flexpage is cut in halves, and
/// each half is looked at in the same way. This was measured on an ext4 image of 2 GiB, filled with 590 MB of files,
/// half of which had been deleted again and trimmed. Whole flexpages took 1.76 times the memory of what is not zero,
/// cut ones 1.07 times. To cut out each single page would bring it to 1.00, with a quarter more flexpages.
extension Fill {
    /// A flexpage is cut if at least one in this number of base pages is zeroes.
    private static let cutOnceIn = 4

    /// Looks for zeroes in what has been populated. No lock is held. A page whose first word is not zero costs a cache
    /// line, and most pages are like that.
    /// - Parameter keeping: Keep the zeroes all the same, because a writer is about to write there.
    /// - Returns: Whether all of it is zeroes.
    mutating func findZeroes(keeping: Bool = false) -> Bool {
        for index in 0..<issued {
            let flexpage = context.table[id(index)]
            var memory = UnsafeRawPointer(context.table.memory(of: id(index)))
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
    /// `giveBackDropped` follows, without the lock.
    mutating func dropZeroes(in chunk: borrowing LockedChunk) {
        guard !zeroes.isEmpty else { return }
        let planned = ids
        let (plannedIssued, plannedCount) = (issued, count)
        (issued, count) = (0, 0)
        var hasWaiters = false
        for index in 0..<plannedIssued { dropZeroes(of: planned[index], hasWaiters: &hasWaiters, in: chunk) }
        // What was planned and not issued is given back at the end.
        for index in plannedIssued..<plannedCount {
            ids[count] = planned[index]
            count += 1
        }
        context.map.noteZeroes(droppedPages, in: chunk)
        zeroes = PageSet()
        if hasWaiters { chunk.wakeAll() }
    }

    private mutating func dropZeroes(of id: FlexpageID, hasWaiters: inout Bool, in chunk: borrowing LockedChunk) {
        let pages = context.table[id].covered
        let zeroCount = zeroes.count(in: pages)
        let word = PageState(context.table.word(id).pointee.state.load(ordering: .relaxed))
        if zeroCount * Fill.cutOnceIn < pages.count || zeroCount < pages.count && word.pins > 1 {
            // A thread that has pinned a flexpage and waits for it finds it as it knew it.
            keep(id)
            return
        }
        hasWaiters = hasWaiters || word.has(PageState.hasWaiters)
        context.map.remove(id, in: chunk)
        if zeroCount == pages.count {
            drop(id)
        } else {
            cut(context.table.region(of: id), at: pages.lowerBound, in: chunk)
        }
    }

    /// Makes one flexpage, or some, or none, of a Region whose first base page is `page`, and that nobody else knows.
    private mutating func cut(_ region: Region, at page: UInt64, in chunk: borrowing LockedChunk) {
        let pages = page..<page + UInt64(region.frames)
        let zeroCount = zeroes.count(in: pages)
        guard zeroCount * Fill.cutOnceIn < pages.count || zeroCount == pages.count else {
            cut(region.lowerHalf, at: page, in: chunk)
            cut(region.upperHalf, at: page + UInt64(region.frames / 2), in: chunk)
            return
        }
        let id = make(region, at: page)
        if zeroCount == pages.count {
            drop(id)
        } else {
            context.map.insert(id, in: chunk)
            keep(id)
        }
    }

    private mutating func keep(_ id: FlexpageID) {
        ids[count] = id
        count += 1
        issued += 1
    }

    /// The flexpage is out of the AccessMap. A thread that waits for it, with a pin, looks again. The last thread to
    /// give a pin back frees the Region.
    private mutating func drop(_ id: FlexpageID) {
        context.table.word(id).pointee.state.bitwiseOr(PageState.withdrawn, ordering: .releasing)
        dropped += 1
        // From the other end: there are no more kept and dropped flexpages together than base pages.
        ids[ids.count - dropped] = id
        droppedPages.formUnion(PageSet(context.table[id].covered))
    }

    /// Gives back the filler's pins on dropped flexpages. No lock is held.
    mutating func giveBackDropped() { giveBack(ids.count - dropped..<ids.count) }

    /// The beginning of `wanted`, as far as it was zeroes.
    func zeroes(of wanted: Range<Int64>) -> Range<Int64> {
        guard !wanted.isEmpty else { return wanted }
        let page = BasePage.number(of: wanted.lowerBound)
        let end = BasePage.offset(of: droppedPages.end(ofRunFrom: page, upTo: covered.upperBound))
        return wanted.lowerBound..<min(max(end, wanted.lowerBound), wanted.upperBound)
    }

    /// Zeroes that part of the planned flexpages' memory, before and after `written`, which the writer of `written`
    /// does not write.
    mutating func zeroAround(_ written: Range<Int64>) {
        guard count > 0 else { return }
        let begin = BasePage.offset(of: covered.lowerBound)
        let before = max(0, Int(written.lowerBound - begin))
        memset(context.table.memory(of: id(0)), 0, before)
        let after = max(0, Int(BasePage.offset(of: covered.upperBound) - written.upperBound))
        let last = context.table[id(count - 1)]
        let bytes = Int(last.pages) * BasePage.size
        memset(context.table.memory(of: id(count - 1)) + (bytes - after), 0, after)
    }
}
