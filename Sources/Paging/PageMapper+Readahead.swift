/// The way of what is read ahead: filled by a thread of the Prefetcher, lent to nobody, and dropped where it fails.
extension PageMapper {
    /// A client has missed `wanted`: has what comes next read ahead.
    func noteMiss(_ wanted: Range<Int64>) {
        guard !reach.pointee.readahead.isOff else { return }
        submit(
            reach.pointee.readahead.missed(
                BasePage.numbers(covering: wanted), unused: reach.pointee.map.ledger.takeUnused()))
    }

    /// A client has come to the marked page: has the next window read ahead.
    @inline(never)
    func noteArrival(at page: UInt64) {
        submit(reach.pointee.readahead.arrived(at: page, unused: reach.pointee.map.ledger.takeUnused()))
    }

    private func submit(_ plan: ReadaheadPlan) {
        guard !plan.isEmpty, let provider = reach.pointee.provider else { return }
        pages.prefetches.submit(plan, of: provider)
    }

    /// Populates what is missing of `run`, base pages of one chunk, as far as memory can be had at once. Its errors are
    /// nobody's.
    /// - Parameter mark: The page of it that is to tell when a client comes to it.
    func readAhead(_ run: Range<UInt64>, mark: UInt64?) {
        let shard = reach.pointee.map.shard(of: run.lowerBound)
        var left = run
        var walk = Walk()
        while !left.isEmpty {
            shard.lock()
            let missing = firstMissing(of: left)
            if let mark, !missing.contains(mark) { reach.pointee.map.markZeroes(at: mark) }
            shard.unlock()
            guard !missing.isEmpty else { return }
            let begin = BasePage.offset(of: missing.lowerBound)
            if isWorthAsking(at: begin, &walk) {
                askForHole(at: begin, on: shard)
                continue
            }
            guard let populated = readAheadOnce(missing, mark: mark, on: shard) else { return }
            left = max(populated, left.lowerBound + 1)..<max(left.upperBound, populated)
        }
    }

    /// The first base pages of `pages` that nothing covers and that are not known to be zeroes. The shard's lock is held.
    private func firstMissing(of pages: Range<UInt64>) -> Range<UInt64> {
        let zeroes = reach.pointee.map.knownZeroes(inChunkOf: pages.lowerBound)
        var begin = pages.lowerBound
        while begin < pages.upperBound, zeroes.contains(begin) || reach.pointee.map.flexpage(at: begin) != .none {
            begin += 1
        }
        guard begin < pages.upperBound else { return begin..<begin }
        return begin..<endOfMissing(from: begin, upTo: pages.upperBound)
    }

    /// - Returns: Up to which page it has come, or nil where there was no memory or the image could not be read.
    private func readAheadOnce(
        _ run: Range<UInt64>, mark: UInt64?, on shard: UnsafeMutablePointer<Shard>
    ) -> UInt64? {
        var fill = Fill(run, reach: reach, pages: pages)
        guard fill.count > 0 else { return nil }
        shard.lock()
        let isInFlight = !reach.pointee.reservations.overlaps(fill.covered) && fill.issue()
        shard.unlock()
        guard isInFlight else { return nil }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, on: shard)
        } catch {
            return nil
        }
        let isAllZero = fill.findZeroes()
        shard.lock()
        fill.publishAhead(mark: mark, on: shard)
        shard.unlock()
        fill.giveBackDropped()
        reach.pointee.waiters.wake()
        if isAllZero { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), on: shard) }
        return fill.covered.upperBound
    }
}
