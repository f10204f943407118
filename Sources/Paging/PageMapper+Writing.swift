import Glibc

/// The way of a write.
///
/// A page that is resident is latched by the writer alone. Missing base pages that are written whole are not read: new
/// flexpages are made for them, and populated by the client's bytes. A missing base page that is written in part is
/// filled first, unless it is known to be zeroes. Dirty is what the loan covers, from the moment it is taken: before the write is answered.
extension PageMapper {
    /// Lends flexpages for the beginning of `range` to a writer alone, dirty, as many as can be had at once and at least
    /// one. Waits at the limit of dirt.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Throws: The Accessor's error where a base page had to be filled; the error that keeps dirty data from going out
    ///   where that has reached the limit.
    func lendForWriting(_ range: Range<Int64>, _ walk: inout Walk) throws(AccessError) -> Loan {
        let wanted = partToWrite(of: range)
        let admitted = BasePage.numbers(covering: wanted).count
        try admit(admitted)
        var dirtied = 0
        defer { reach.pointee.dirt.release(admitted - dirtied) }
        let shard = reach.pointee.map.shard(of: BasePage.number(of: wanted.lowerBound))
        shard.lock()
        while true {
            if reach.pointee.reservations.overlaps(BasePage.numbers(covering: wanted)) {
                shard.unlock()
                reach.pointee.reservations.wait(for: BasePage.numbers(covering: wanted))
                shard.lock()
                continue
            }
            let loan = lendResidentForWriting(wanted, on: shard, dirtied: &dirtied)
            if loan.count > 0 {
                shard.pointee.writeLoans += 1
                shard.unlock()
                return loan
            }
            _ = consume loan
            let id = reach.pointee.map.flexpage(at: BasePage.number(of: wanted.lowerBound))
            if id != .none {
                reach.pointee.waitUntilSettled(id, on: shard)
                continue
            }
            let run = missingRunToWrite(of: wanted)
            shard.unlock()
            if run.isEmpty {
                if isWorthAsking(at: wanted.lowerBound, &walk) {
                    askForHole(at: wanted.lowerBound, on: shard)
                } else {
                    try fillFirstPage(of: wanted, on: shard, &walk)
                }
            } else if let loan = try make(run, for: wanted, on: shard, dirtied: &dirtied) {
                return loan
            }
            shard.lock()
        }
    }

    /// The beginning of `range`, in one chunk and no more than a fill's share of the Memory or of the limit of dirt.
    private func partToWrite(of range: Range<Int64>) -> Range<Int64> {
        let most = UInt64(min(pages.mostFramesOfFill, max(1, reach.pointee.dirt.limit / 2)))
        let end = BasePage.offset(of: BasePage.number(of: range.lowerBound) + most)
        let part = Chunk.first(of: range)
        return part.lowerBound..<min(part.upperBound, end)
    }

    /// Waits until so many base pages more may be dirty.
    private func admit(_ count: Int) throws(AccessError) {
        if reach.pointee.dirt.admit(count) {
            if reach.pointee.dirt.isAboveTarget { pages.sweeps.kick() }
            return
        }
        pages.sweeps.kick()
        // What cannot be written out will not make room: better say so than wait for ever.
        if let error = reach.pointee.dirt.waitToAdmit(
            count, giveUp: { reach.pointee.map.ledger.stuck ?? reach.pointee.dirt.stuck })
        {
            throw error
        }
    }

    /// Latches the flexpages at the beginning of `wanted` that are resident and nobody's. The shard's lock is held.
    private func lendResidentForWriting(
        _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, dirtied: inout Int
    ) -> Loan {
        var loan = Loan(reach, at: wanted.lowerBound, exclusively: true)
        while loan.range.upperBound < wanted.upperBound, !loan.isFull {
            let page = BasePage.number(of: loan.range.upperBound)
            let whole = reach.pointee.map.flexpage(at: page)
            guard whole != .none else { break }
            let left = BasePage.numbers(covering: loan.range.upperBound..<wanted.upperBound)
            let id = splitOff(left.clamped(to: reach.pointee.table[whole].covered), from: whole, on: shard)
            let written = left.clamped(to: reach.pointee.table[id].covered)
            guard let newly = reach.pointee.pinExclusively(id, dirtying: written) else { break }
            dirtied += newly
            loan.add(id, upTo: wanted.upperBound)
        }
        return loan
    }

    /// The base pages from the first of `wanted` on that no flexpage covers and that need not be read: `wanted` covers them
    /// whole (what lies past the image's end needs no covering), or they are known to be zeroes. The shard's lock is held.
    private func missingRunToWrite(of wanted: Range<Int64>) -> Range<UInt64> {
        let pages = BasePage.numbers(covering: wanted)
        let zeroes = reach.pointee.map.knownZeroes(inChunkOf: pages.lowerBound)
        guard startsWhole(wanted) || zeroes.contains(pages.lowerBound) else {
            return pages.lowerBound..<pages.lowerBound
        }
        let last = endsWhole(wanted) || zeroes.contains(pages.upperBound - 1) ? pages.upperBound : pages.upperBound - 1
        var end = pages.lowerBound
        while end < last, reach.pointee.map.flexpage(at: end) == .none { end += 1 }
        return pages.lowerBound..<end
    }

    private func startsWhole(_ wanted: Range<Int64>) -> Bool {
        wanted.lowerBound == BasePage.offset(of: BasePage.number(of: wanted.lowerBound))
    }

    private func endsWhole(_ wanted: Range<Int64>) -> Bool {
        wanted.upperBound == size
            || wanted.upperBound == BasePage.offset(of: BasePage.number(of: wanted.upperBound))
    }

    /// Populates the base page that `wanted` begins in from the image, because only part of it is to be written.
    private func fillFirstPage(
        of wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ walk: inout Walk
    ) throws(AccessError) {
        let page = BasePage.number(of: wanted.lowerBound)
        if let loan = try fill(page..<page + 1, for: wanted, on: shard, &walk, keepingZeroes: true) { _ = consume loan }
    }

    /// Makes flexpages for as much of `run` as there is memory for, and lends them. No lock is held.
    /// - Returns: Nil where the caller must look again.
    private func make(
        _ run: Range<UInt64>, for wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, dirtied: inout Int
    ) throws(AccessError) -> Loan? {
        guard var fill = try plan(run, most: Loan.capacity, on: shard) else { return nil }
        fill.zeroAround(wanted)
        shard.lock()
        defer { shard.unlock() }
        guard !reach.pointee.reservations.overlaps(fill.covered), needsNoReading(fill.covered, for: wanted),
            fill.issue()
        else { return nil }
        shard.pointee.writeLoans += 1
        return fill.publish(writing: wanted, dirtied: &dirtied)
    }

    /// Whether what `wanted` covers only in part of `pages` is, still, known to be zeroes. The shard's lock is held.
    private func needsNoReading(_ pages: Range<UInt64>, for wanted: Range<Int64>) -> Bool {
        let zeroes = reach.pointee.map.knownZeroes(inChunkOf: pages.lowerBound)
        let coversEnd = endsWhole(wanted) || BasePage.offset(of: pages.upperBound) <= wanted.upperBound
        return (startsWhole(wanted) || zeroes.contains(pages.lowerBound))
            && (coversEnd || zeroes.contains(pages.upperBound - 1))
    }
}
