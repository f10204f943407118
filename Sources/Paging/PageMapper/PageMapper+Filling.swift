/// What is missing is filled: how far one read goes, and the fill itself, one's own or somebody else's.
extension PageMapper {
    /// What lies between missing base pages and need not be read is read with them where there is no more in a row: 32
    /// KiB more cost less than one read more.
    private static let maxGap: UInt64 = 8

    /// The base pages from the first of `wanted` on that no flexpage covers, as far as one fill can reach. The shard's
    /// lock is held.
    func missingRun(of wanted: Range<Int64>, cautious: Bool) -> Range<UInt64> {
        let wantedPages = BasePage.numbers(covering: wanted)
        let maxCount = cautious ? 1 : UInt64(pages.maxFramesOfFill)
        let limit = min(wantedPages.upperBound, wantedPages.lowerBound + maxCount)
        return wantedPages.lowerBound..<endOfMissing(from: wantedPages.lowerBound, upTo: limit)
    }

    /// The end of the base pages from `page` on, which is missing, that are to be read at once: the first that is
    /// resident, or that begins a longer stretch of known zeroes. The shard's lock is held.
    func endOfMissing(from page: UInt64, upTo limit: UInt64) -> UInt64 {
        guard page + 1 < limit else { return limit }
        let zeroes = context.map.knownZeroes(inChunkOf: page)
        let vacant = context.map.vacantPages(in: page..<limit)
        let firstResident = vacant.end(ofRunFrom: page, upTo: limit)
        return max(endOfRead(of: vacant.subtracting(zeroes), from: page, upTo: firstResident), page + 1)
    }

    /// The end of the base pages from `begin`, which is missing, that are to be read at once: with what lies between
    /// missing ones where there is no more in a row than is worth it.
    func endOfRead(of missing: PageSet, from begin: UInt64, upTo limit: UInt64) -> UInt64 {
        var end = begin
        var next = begin
        while next < limit, next - end <= PageMapper.maxGap {
            end = missing.end(ofRunFrom: next, upTo: limit)
            next = missing.end(ofGapFrom: end, upTo: limit)
        }
        return end
    }

    /// Waits for somebody else's fill of flexpage `id`. The shard's lock is held before and, unless this throws, after.
    /// - Returns: True if the page is populated, and pinned for the caller; false if the caller must look again.
    func waitForFill(
        of id: FlexpageID, at page: UInt64, on shard: UnsafeMutablePointer<Shard>, _ progress: inout RequestProgress
    ) throws(AccessError) -> Bool {
        let flexpage = context.table.word(id)
        flexpage.pointee.state.wrappingAdd(PageState.pin, ordering: .relaxed)
        var state: PageState
        repeat {
            flexpage.pointee.state.bitwiseOr(PageState.hasWaiters, ordering: .relaxed)
            shard.wait()
            state = PageState(flexpage.pointee.state.load(ordering: .acquiring))
        } while !state.has(PageState.populated | PageState.withdrawn)
        if state.has(PageState.populated) { return true }
        // What failed was wider than a page, or it was just this page.
        progress.cautiousUpTo = BasePage.offset(of: context.table[id].covered.upperBound)
        shard.unlock()
        context.giveBack(id, covering: page)
        guard state.error == 0 else { throw AccessError(state.error) }
        shard.lock()
        return false
    }

    /// Populates as much of `run` as there is memory for, and lends what `wanted` begins with. No lock is held.
    /// - Parameter keepingZeroes: What is found to be zeroes stays, because the caller is about to write there.
    /// - Returns: Nil where the caller must look again: memory was short, or somebody else was faster, or a wide fill
    ///   failed and the pages are now to be tried one by one.
    func fill(
        _ run: Range<UInt64>, for wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>,
        _ progress: inout RequestProgress,
        keepingZeroes: Bool = false
    ) throws(AccessError) -> Loan? {
        guard var fill = try plan(run, on: shard) else { return nil }
        let early = Flaw.earlyReservationCheck.isPlanted ? context.reservations.overlaps(fill.covered) : nil
        shard.lock()
        let isReserved = early ?? context.reservations.overlaps(fill.covered)
        let isInFlight = !isReserved && fill.issue()
        shard.unlock()
        guard isInFlight else {
            let reserved = fill.covered
            _ = consume fill
            if isReserved { context.reservations.wait(for: reserved) }
            return nil
        }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, on: shard)
        } catch {
            progress.cautiousUpTo = BasePage.offset(of: fill.covered.upperBound)
            if fill.isOneBasePage { throw error }
            return nil
        }
        let isAllZero = fill.findZeroes(keeping: keepingZeroes)
        shard.lock()
        shard.pointee.misses += UInt64(fill.covered.count)
        let loan = fill.publish(lending: wanted, on: shard)
        assert(!loan.range.isEmpty, "what a request begins with has been populated, or is zeroes")
        shard.unlock()
        fill.giveBackDropped()
        progress.populatedUpTo = BasePage.offset(of: fill.covered.upperBound)
        context.waiters.wake()
        // A writer keeps zeroes, and holds a loan of them: who holds a loan asks nobody anything.
        if isAllZero, !keepingZeroes { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), on: shard) }
        return loan
    }

    /// A fill of the beginning of `run`, or nil after having slept until there may be memory for one.
    /// - Throws: The error that keeps dirty pages from going out, where these are all of the Memory.
    func plan(
        _ run: Range<UInt64>, maxCount: Int = 256, on shard: UnsafeMutablePointer<Shard>
    ) throws(AccessError) -> Fill? {
        let fill = Fill(run, maxCount: maxCount, context: context, pages: pages)
        if fill.count > 0 { return fill }
        let ticket = context.waiters.begin()
        let again = Fill(run, maxCount: maxCount, context: context, pages: pages)
        if again.count > 0 {
            context.waiters.end()
            return again
        }
        if let error = pages.noMemoryBecause {
            context.waiters.end()
            throw error
        }
        shard.lock()
        shard.pointee.waits += 1
        shard.unlock()
        pages.writebackQueue.kick()
        context.waiters.sleep(ticket)
        return nil
    }
}
