import Glibc

/// The way of a write.
///
/// A page that is resident is latched by the writer alone. Missing base pages that are written whole are not read: new
/// flexpages are made for them, and populated by the client's bytes. A missing base page that is written in part is
/// filled first, unless it is known to be zeroes. Dirty is what the loan covers, from the moment it is taken: before
/// the write is answered.
///
/// A writer is admitted by the DirtyLimit first, and has no Admission while it waits for anything else: it gives that
/// back before each wait, and comes again afterwards, with the turn it had.
extension PageMapper {
    /// Lends flexpages for the beginning of `range` to a writer alone, dirty, as many as can be had at once and at
    /// least one. Waits at the dirty limit.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Throws: The Accessor's error where a base page had to be filled; the error that keeps dirty data from going
    ///   out where that has reached the limit.
    func lendForWriting(_ range: Range<Int64>, _ progress: inout RequestProgress) throws(AccessError) -> Loan {
        let part = partToWrite(of: range)
        if progress.turnUpTo <= part.lowerBound {
            progress.turn = context.dirtyLimit.turn
            progress.turnUpTo = part.upperBound
        }
        while true {
            var admission = try admit(BasePage.numbers(covering: part).count, turn: progress.turn)
            let end = BasePage.offset(of: BasePage.number(of: part.lowerBound) + UInt64(admission.count))
            let wanted = part.lowerBound..<min(part.upperBound, end)
            if let loan = try lend(wanted, &admission, &progress) { return loan }
        }
    }

    /// The beginning of `range`, in one chunk and no more than a fill's share of the Memory.
    private func partToWrite(of range: Range<Int64>) -> Range<Int64> {
        let end = BasePage.offset(of: BasePage.number(of: range.lowerBound) + UInt64(pages.maxFramesOfFill))
        let part = Chunk.first(of: range)
        return part.lowerBound..<min(part.upperBound, end)
    }

    /// Waits until some of `count` base pages may become dirty.
    private func admit(_ count: Int, turn: UInt64) throws(AccessError) -> Admission {
        let dirtyLimit = context.dirtyLimit
        let admitted = dirtyLimit.admit(count)
        if admitted == 0 || dirtyLimit.isAboveTarget {
            pages.pace.look()
            pages.writebackQueue.kick()
        }
        if admitted > 0 { return Admission(admitted, of: dirtyLimit) }
        // What cannot be written out will not make room: better say so than wait for ever.
        let late = try dirtyLimit.waitToAdmit(count, turn: turn) { context.map.ledger.stuck ?? dirtyLimit.stuck }
        return Admission(late, of: dirtyLimit)
    }

    /// Lends what of `wanted` can be lent at once, and uses `admission` for what that makes dirty.
    /// - Returns: Nil where there is nothing: the admission has been given back then, and what was in the way waited
    ///   for.
    private func lend(
        _ wanted: Range<Int64>, _ admission: inout Admission, _ progress: inout RequestProgress
    ) throws(AccessError) -> Loan? {
        let numbers = BasePage.numbers(covering: wanted)
        let shard = context.map.shard(of: numbers.lowerBound)
        shard.lock()
        if context.reservations.overlaps(numbers) {
            shard.unlock()
            admission.giveBack()
            context.reservations.wait(for: numbers)
            return nil
        }
        let loan = lendResidentForWriting(wanted, on: shard, &admission)
        if loan.count > 0 {
            shard.pointee.writeLoans += 1
            shard.unlock()
            return loan
        }
        _ = consume loan
        let id = context.map.flexpage(at: numbers.lowerBound)
        if id != .none {
            admission.giveBack()
            context.waitUntilReleased(id, on: shard)
            shard.unlock()
            return nil
        }
        let run = missingRunToWrite(of: wanted)
        shard.unlock()
        if !run.isEmpty { return try make(run, for: wanted, on: shard, &admission) }
        admission.giveBack()
        if isWorthAsking(at: wanted.lowerBound, &progress) {
            askForHole(at: wanted.lowerBound, on: shard)
        } else {
            try fillFirstPage(of: wanted, on: shard, &progress)
        }
        return nil
    }

    /// Latches the flexpages at the beginning of `wanted` that are resident and nobody's. The shard's lock is held.
    private func lendResidentForWriting(
        _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ admission: inout Admission
    ) -> Loan {
        var loan = Loan(context, at: wanted.lowerBound, exclusively: true)
        while loan.range.upperBound < wanted.upperBound, !loan.isFull {
            let page = BasePage.number(of: loan.range.upperBound)
            let whole = context.map.flexpage(at: page)
            guard whole != .none else { break }
            let left = BasePage.numbers(covering: loan.range.upperBound..<wanted.upperBound)
            let id = splitOff(left.clamped(to: context.table[whole].covered), from: whole, on: shard)
            let written = left.clamped(to: context.table[id].covered)
            guard let newly = context.pinExclusively(id, dirtying: written) else { break }
            admission.use(newly)
            loan.add(id, upTo: wanted.upperBound)
        }
        return loan
    }

    /// The base pages from the first of `wanted` on that no flexpage covers and that need not be read: `wanted` covers
    /// them whole (what lies past the image's end needs no covering), or they are known to be zeroes. The shard's lock
    /// is held.
    private func missingRunToWrite(of wanted: Range<Int64>) -> Range<UInt64> {
        let pages = BasePage.numbers(covering: wanted)
        let zeroes = context.map.knownZeroes(inChunkOf: pages.lowerBound)
        guard startsWhole(wanted) || zeroes.contains(pages.lowerBound) else {
            return pages.lowerBound..<pages.lowerBound
        }
        let last = endsWhole(wanted) || zeroes.contains(pages.upperBound - 1) ? pages.upperBound : pages.upperBound - 1
        var end = pages.lowerBound
        while end < last, context.map.flexpage(at: end) == .none { end += 1 }
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
        of wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ progress: inout RequestProgress
    ) throws(AccessError) {
        let page = BasePage.number(of: wanted.lowerBound)
        if let loan = try fill(page..<page + 1, for: wanted, on: shard, &progress, keepingZeroes: true) {
            _ = consume loan
        }
    }

    /// Makes flexpages for as much of `run` as there is memory for, and lends them. No lock is held.
    /// - Returns: Nil where the caller must look again.
    private func make(
        _ run: Range<UInt64>, for wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>,
        _ admission: inout Admission
    ) throws(AccessError) -> Loan? {
        var fill = Fill(run, maxCount: Loan.capacity, context: context, pages: pages)
        guard fill.count > 0 else {
            admission.giveBack()
            // What comes of that goes back: the caller has to be admitted first.
            _ = try plan(run, maxCount: Loan.capacity, on: shard)
            return nil
        }
        fill.zeroAround(wanted)
        shard.lock()
        defer { shard.unlock() }
        guard !context.reservations.overlaps(fill.covered), needsNoReading(fill.covered, for: wanted),
            fill.issue()
        else { return nil }
        shard.pointee.writeLoans += 1
        var dirtied = 0
        let loan = fill.publish(writing: wanted, dirtied: &dirtied)
        admission.use(dirtied)
        return loan
    }

    /// Whether what `wanted` covers only in part of `pages` is, still, known to be zeroes. The shard's lock is held.
    private func needsNoReading(_ pages: Range<UInt64>, for wanted: Range<Int64>) -> Bool {
        let zeroes = context.map.knownZeroes(inChunkOf: pages.lowerBound)
        let coversEnd = endsWhole(wanted) || BasePage.offset(of: pages.upperBound) <= wanted.upperBound
        return (startsWhole(wanted) || zeroes.contains(pages.lowerBound))
            && (coversEnd || zeroes.contains(pages.upperBound - 1))
    }
}
