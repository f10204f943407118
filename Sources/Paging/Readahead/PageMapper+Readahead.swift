/// The way of what is read ahead: filled by a thread of the Prefetcher, lent to nobody, and dropped where it fails.
extension PageMapper {
    /// A client has missed `wanted`: has what comes next read ahead.
    func noteMiss(_ wanted: Range<Int64>) {
        guard !context.readahead.isOff else { return }
        submit(
            context.readahead.missed(
                BasePage.numbers(covering: wanted), unused: context.map.ledger.takeUnused()))
    }

    /// A client has come to the marked page: has the next window read ahead.
    @inline(never)
    func noteArrival(at page: UInt64) {
        submit(context.readahead.arrived(at: page, unused: context.map.ledger.takeUnused()))
    }

    private func submit(_ plan: ReadaheadPlan) {
        guard !plan.isEmpty, let provider = context.provider else { return }
        pages.prefetches.submit(plan, of: provider)
    }

    /// Populates what is missing of `run`, base pages of one chunk, as far as memory can be had at once. Its errors are
    /// nobody's.
    /// - Parameter mark: The page of it, the first or the last, that is to tell when a client comes to it.
    func readAhead(_ run: Range<UInt64>, mark: UInt64?) {
        let shard = context.map.shard(of: run.lowerBound)
        let isMarkedAtBegin = mark == run.lowerBound
        var mark = mark
        var left = run
        var progress = RequestProgress()
        while !left.isEmpty {
            shard.lock()
            let vacant = context.map.vacantPages(in: left)
            let missing = vacant.subtracting(context.map.knownZeroes(inChunkOf: left.lowerBound))
            if let wanted = mark, left.contains(wanted) {
                mark = setMark(at: wanted, in: left, vacant: vacant, upwards: isMarkedAtBegin)
            }
            shard.unlock()
            let begin = missing.end(ofGapFrom: left.lowerBound, upTo: left.upperBound)
            guard begin < left.upperBound else { return }
            if isWorthAsking(at: BasePage.offset(of: begin), &progress) {
                askForHole(at: BasePage.offset(of: begin), on: shard)
                continue
            }
            let run = begin..<endOfRead(of: missing, from: begin, upTo: left.upperBound)
            let resident = PageSet(run).subtracting(vacant)
            guard let populated = readAheadOnce(run, over: resident, mark: mark, on: shard) else { return }
            left = max(populated, left.lowerBound + 1)..<max(left.upperBound, populated)
        }
    }

    /// Marks what is to tell when a client comes to `mark`: that page, or where it is resident the nearest one of
    /// `vacant`, which are missing or known to be zeroes. Zeroes are marked at once; what is missing when it has been
    /// read. The shard's lock is held.
    /// - Returns: The page that has or is to have the mark.
    private func setMark(at mark: UInt64, in pages: Range<UInt64>, vacant: PageSet, upwards: Bool) -> UInt64? {
        let page =
            upwards
            ? (mark..<pages.upperBound).first(where: vacant.contains)
            : (pages.lowerBound..<mark + 1).last(where: vacant.contains)
        if let page { context.map.markZeroes(at: page) }
        return page
    }

    /// - Returns: Up to which page it has come, or nil where there was no memory or the image could not be read.
    private func readAheadOnce(
        _ run: Range<UInt64>, over resident: PageSet, mark: UInt64?, on shard: UnsafeMutablePointer<Shard>
    ) -> UInt64? {
        var fill = Fill(run, over: resident, context: context, pages: pages)
        guard fill.count > 0 else { return nil }
        shard.lock()
        let isInFlight = !context.reservations.overlaps(fill.covered) && fill.issue()
        shard.unlock()
        guard isInFlight else { return nil }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, on: shard)
        } catch {
            _ = consume fill
            guard !resident.isEmpty else { return nil }
            // It may be what was read over that cannot be read.
            let end = resident.end(ofGapFrom: run.lowerBound, upTo: run.upperBound)
            return readAheadOnce(run.lowerBound..<end, over: PageSet(), mark: mark, on: shard)
        }
        let isAllZero = fill.findZeroes()
        shard.lock()
        fill.publishAhead(mark: mark, on: shard)
        shard.unlock()
        fill.giveBackDropped()
        context.waiters.wake()
        if isAllZero { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), on: shard) }
        return fill.covered.upperBound
    }
}
