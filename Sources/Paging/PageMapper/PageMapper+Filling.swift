/// How a missing page is filled: how far one read goes, and the fill itself, the caller's own or another thread's.
extension PageMapper {
    /// The maximum number of base pages in a row, between missing ones, that are read with them though they need not be
    /// read. To read 32 KiB more costs less than a second read.
    private static let maxGap: UInt64 = 8

    /// The base pages from the first of `wanted` on, which is missing, that one read fills.
    func missingRun(
        of wanted: Range<Int64>, _ progress: RequestProgress, in chunk: borrowing LockedChunk
    ) -> Range<UInt64> {
        let pages = BasePage.numbers(covering: wanted)
        let isCautious = wanted.lowerBound < progress.cautiousUpTo
        let maxCount = isCautious ? 1 : UInt64(self.pages.maxFramesOfFill)
        var limit = min(pages.upperBound, pages.lowerBound + maxCount)
        // What is reserved is for another read, when it is free again. The first page is waited for.
        if let reserved = context.reservations.first(in: pages.lowerBound..<limit), reserved > pages.lowerBound {
            limit = reserved
        }
        let end = endOfMissing(from: pages.lowerBound, upTo: limit, in: chunk)
        guard end == pages.upperBound, wanted.lowerBound >= progress.wantedOnlyUpTo else {
            return pages.lowerBound..<end
        }
        return pages.lowerBound..<endOfReadingOn(past: pages, maxCount: maxCount, in: chunk)
    }

    /// The end of the base pages that one read fills, beginning with `page`, which is missing. It ends at a resident
    /// page, or at a longer stretch of known zeroes.
    private func endOfMissing(from page: UInt64, upTo limit: UInt64, in chunk: borrowing LockedChunk) -> UInt64 {
        guard page + 1 < limit else { return limit }
        let zeroes = context.map.knownZeroes(in: chunk)
        let vacant = context.map.vacantPages(in: page..<limit, of: chunk)
        let firstResident = vacant.end(ofRunFrom: page, upTo: limit)
        return max(endOfRead(of: vacant.subtracting(zeroes), from: page, upTo: firstResident), page + 1)
    }

    /// The end of the base pages that one read covers, beginning with `begin`, which is missing. It covers gaps between
    /// missing pages that are no longer than `maxGap`.
    func endOfRead(of missing: PageSet, from begin: UInt64, upTo limit: UInt64) -> UInt64 {
        var end = begin
        var next = begin
        while next < limit, next - end <= PageMapper.maxGap {
            end = missing.end(ofRunFrom: next, upTo: limit)
            next = missing.end(ofGapFrom: end, upTo: limit)
        }
        return end
    }

    /// The fill of flexpage `id`, which the caller has waited for with a pin, has left nothing of it. Gives the pin
    /// back. No lock is held.
    /// - Parameter state: What `pinAndWaitForFill` returned.
    /// - Throws: The error of the fill, if it was of this page alone.
    func giveUpWithdrawn(
        _ id: FlexpageID, _ state: PageState, covering page: UInt64, _ progress: inout RequestProgress
    ) throws(AccessError) {
        assert(state.has(PageState.withdrawn), "its fill has left nothing")
        // What failed was wider than a page, or it was just this page.
        progress.cautiousUpTo = BasePage.offset(of: context.table[id].covered.upperBound)
        progress.wantedOnlyUpTo = progress.cautiousUpTo
        context.giveBack(id, covering: page)
        guard state.error == 0 else { throw AccessError(state.error) }
    }

    /// Populates as much of `run` as there is memory for, and lends what `wanted` begins with. No lock is held.
    /// - Parameter keepingZeroes: What is found to be zeroes stays, because the caller is about to write there.
    /// - Returns: Nil if the caller must look again: memory was short, or another thread was faster. Nil too if a wide
    ///   fill failed; from now on its pages are tried one by one.
    func fill(
        _ run: Range<UInt64>, for wanted: Range<Int64>, in hashed: HashedChunk, _ progress: inout RequestProgress,
        keepingZeroes: Bool = false
    ) throws(AccessError) -> Loan? {
        let wantedUpTo = BasePage.numbers(covering: wanted).upperBound
        guard var fill = try plan(run, wantedUpTo: wantedUpTo, in: hashed) else { return nil }
        let early = Flaw.earlyReservationCheck.isPlanted ? context.reservations.overlaps(fill.covered) : nil
        let (isInFlight, isReserved) = hashed.withLock { chunk in
            let isReserved = early ?? context.reservations.overlaps(fill.covered)
            return (!isReserved && fill.issue(in: chunk), isReserved)
        }
        guard isInFlight else {
            let reserved = fill.covered
            _ = consume fill
            if isReserved { context.reservations.wait(for: reserved.lowerBound..<reserved.lowerBound + 1) }
            return nil
        }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, in: hashed)
        } catch {
            if fill.isOneBasePage { throw error }
            progress.wantedOnlyUpTo = BasePage.offset(of: fill.covered.upperBound)
            if fill.covered.upperBound > wantedUpTo {
                // Perhaps it was a page that nobody wants.
                context.readahead.on.failed()
            } else {
                progress.cautiousUpTo = progress.wantedOnlyUpTo
            }
            return nil
        }
        let isAllZero = fill.findZeroes(keeping: keepingZeroes)
        let chunk = hashed.lock()
        let missed = fill.covered.clamped(to: 0..<wantedUpTo)
        chunk.shard.pointee.misses += UInt64(missed.count)
        context.map.counters.countMisses(missed.count)
        fill.publish(in: chunk, unusedFrom: wantedUpTo)
        fill.note(.miss, aheadFrom: wantedUpTo, in: hashed)
        let loan = fill.lend(wanted, in: chunk)
        assert(!loan.range.isEmpty, "what a request begins with has been populated, or is zeroes")
        chunk.unlock()
        fill.giveBackDropped()
        progress.populatedUpTo = BasePage.offset(of: fill.covered.upperBound)
        context.waiters.wake()
        // A writer keeps zeroes and holds a loan of them, and with a loan nothing is asked or waited for.
        if isAllZero, !keepingZeroes { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), in: hashed) }
        return loan
    }

    /// A fill of the beginning of `run`, or nil after a sleep until there may be memory for one, or until the image's
    /// fills may have more. No lock is held.
    /// - Throws: If all of the Memory is dirty and none of it can be written out, the error of that.
    func plan(
        _ run: Range<UInt64>, maxCount: Int = Fill.capacity, wantedUpTo: UInt64 = .max, in hashed: HashedChunk
    ) throws(AccessError) -> Fill? {
        let fill = Fill(run, maxCount: maxCount, wantedUpTo: wantedUpTo, context: context, pages: pages)
        if fill.count > 0 { return fill }
        if fill.isRefused { return waitForShare(in: hashed) }
        let ticket = context.waiters.begin()
        let again = Fill(run, maxCount: maxCount, wantedUpTo: wantedUpTo, context: context, pages: pages)
        if again.count > 0 {
            context.waiters.end()
            return again
        }
        if again.isRefused {
            context.waiters.end()
            return waitForShare(in: hashed)
        }
        if let error = pages.noMemoryBecause {
            context.waiters.end()
            throw error
        }
        countWait(in: hashed)
        pages.writebackQueue.kick()
        context.waiters.sleep(ticket)
        return nil
    }

    /// Nil, once the image's fills may have more frames.
    private func waitForShare(in hashed: HashedChunk) -> Fill? {
        countWait(in: hashed)
        context.fillShare.wait()
        return nil
    }

    private func countWait(in hashed: HashedChunk) {
        context.map.counters.countWait()
        hashed.withLock { chunk in chunk.shard.pointee.waits += 1 }
    }
}
