import Glibc

/// How a write is served.
///
/// A page that is resident is latched, for the writer alone. Missing base pages that are written whole are not read:
/// new flexpages are made for them, and the client's bytes populate them. A missing base page that is written in part
/// is written around the Memory (PageMapper+WritingAround), or filled first, unless it is known to be zeroes. What the
/// loan covers is dirty from the moment of the loan, which is before the write is answered.
///
/// The DirtyLimit admits a writer first. A writer has no Admission while it waits for anything else. It gives it back
/// before each wait, and is admitted again afterwards, with the turn that it had.
extension PageMapper {
    /// Lends dirty flexpages for the beginning of `range` to a writer alone: as many as there are at once, and at least
    /// one. If that has been written around the Memory, the loan has none. Waits at the dirty limit.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Parameter source: What will be written there, or nil for zeroes.
    /// - Throws: The Accessor's error, if a base page had to be filled. If the limit is reached and no dirty page can
    ///   be written out, the error of that.
    func lendForWriting(
        _ range: Range<Int64>, of source: UnsafeRawPointer?, _ progress: inout RequestProgress
    ) throws(AccessError) -> Loan {
        assert(range.lowerBound >= 0 && range.upperBound <= size, "a request lies in the image")
        let part = partToWrite(of: range)
        if progress.turnUpTo <= part.lowerBound {
            progress.turn = context.dirtyLimit.turn
            progress.turnUpTo = part.upperBound
        }
        while true {
            var admission = try admit(BasePage.numbers(covering: part).count, turn: progress.turn)
            let end = BasePage.offset(of: BasePage.number(of: part.lowerBound) + UInt64(admission.count))
            let wanted = part.lowerBound..<min(part.upperBound, end)
            if let loan = try lend(wanted, of: source, &admission, &progress) { return loan }
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
            context.pace.look()
            pages.writebackQueue.kick()
        }
        if admitted > 0 { return Admission(admitted, of: dirtyLimit) }
        // Pages that cannot be written out will never make room: an error is better than a wait without end.
        let late = try dirtyLimit.waitToAdmit(count, turn: turn) {
            context.map.ledger.noRoomBecause ?? dirtyLimit.noRoomBecause
        }
        return Admission(late, of: dirtyLimit)
    }

    /// Lends what of `wanted` can be lent at once, and uses `admission` for what that makes dirty.
    /// - Returns: Nil if there is nothing. The admission has been given back then, and what was in the way has been
    ///   waited for.
    private func lend(
        _ wanted: Range<Int64>, of source: UnsafeRawPointer?, _ admission: inout Admission,
        _ progress: inout RequestProgress
    ) throws(AccessError) -> Loan? {
        let numbers = BasePage.numbers(covering: wanted)
        let hashed = context.map.chunk(of: numbers.lowerBound)
        let chunk = hashed.lock()
        if let reserved = context.reservations.first(in: numbers) {
            chunk.unlock()
            if reserved > numbers.lowerBound {
                let free = wanted.lowerBound..<BasePage.offset(of: reserved)
                return try lend(free, of: source, &admission, &progress)
            }
            admission.giveBack()
            context.reservations.wait(for: reserved..<reserved + 1)
            return nil
        }
        var obstacle = FlexpageID.none
        let loan = lendResidentForWriting(wanted, in: chunk, &admission, &obstacle)
        if loan.count > 0 {
            chunk.shard.pointee.writeLoans += 1
            chunk.unlock()
            context.note(.write, BasePage.numbers(covering: loan.range), in: hashed)
            return loan
        }
        _ = consume loan
        if obstacle != .none {
            admission.giveBack()
            context.waitUntilReleased(obstacle, in: chunk)
            chunk.unlock()
            return nil
        }
        let run = missingRunToWrite(of: wanted, in: chunk)
        chunk.unlock()
        if !run.isEmpty { return try make(run, for: wanted, in: hashed, &admission) }
        admission.giveBack()
        if isWorthAsking(at: wanted.lowerBound, &progress) {
            askForHole(at: wanted.lowerBound, in: hashed)
            return nil
        }
        let isFillable = wanted.lowerBound >= progress.unfillableUpTo
        if let part = partToWriteAround(of: wanted, in: hashed, ifWorth: isFillable),
            let loan = try writeAround(part, of: source, in: hashed)
        {
            return loan
        }
        do throws(AccessError) {
            try fillFirstPage(of: wanted, in: hashed, &progress)
        } catch {
            // The page may have a bad sector that is not written here, or just the one that is.
            guard isFillable, partToWriteAround(of: wanted, in: hashed, ifWorth: false) != nil else { throw error }
            progress.unfillableUpTo = BasePage.offset(of: numbers.lowerBound + 1)
        }
        return nil
    }

    /// The missing base pages that `wanted` begins with, as far as they need not be read. A page need not be read if
    /// `wanted` covers all that the image has of it, or if it is known to be zeroes.
    private func missingRunToWrite(of wanted: Range<Int64>, in chunk: borrowing LockedChunk) -> Range<UInt64> {
        let pages = BasePage.numbers(covering: wanted)
        let zeroes = context.map.knownZeroes(in: chunk)
        guard wanted.startsWithPage || zeroes.contains(pages.lowerBound) else {
            return pages.lowerBound..<pages.lowerBound
        }
        let isLastWhole = wanted.endsWithPage(ofImage: size) || zeroes.contains(pages.upperBound - 1)
        let last = isLastWhole ? pages.upperBound : pages.upperBound - 1
        var end = min(pages.lowerBound + 1, last)
        while end < last, context.map.flexpage(at: end, in: chunk) == .none { end += 1 }
        return pages.lowerBound..<end
    }

    /// Populates the base page that `wanted` begins in from the image, because only part of it is to be written.
    private func fillFirstPage(
        of wanted: Range<Int64>, in hashed: HashedChunk, _ progress: inout RequestProgress
    ) throws(AccessError) {
        let page = BasePage.number(of: wanted.lowerBound)
        if let loan = try fill(page..<page + 1, for: wanted, in: hashed, &progress, keepingZeroes: true) {
            _ = consume loan
        }
    }

    /// Makes flexpages for as much of `run` as there is memory for, and lends them. No lock is held.
    /// - Returns: Nil if the caller must look again.
    private func make(
        _ run: Range<UInt64>, for wanted: Range<Int64>, in hashed: HashedChunk, _ admission: inout Admission
    ) throws(AccessError) -> Loan? {
        var fill = Fill(run, maxCount: Loan.capacity, context: context, pages: pages)
        guard fill.count > 0 else {
            admission.giveBack()
            // What comes of that goes back: the caller has to be admitted first.
            _ = try plan(run, maxCount: Loan.capacity, in: hashed)
            return nil
        }
        fill.zeroAround(wanted)
        let chunk = hashed.lock()
        guard !context.reservations.overlaps(fill.covered), needsNoReading(fill.covered, for: wanted, in: chunk),
            fill.issue(in: chunk)
        else {
            chunk.unlock()
            return nil
        }
        chunk.shard.pointee.writeLoans += 1
        admission.use(fill.publishForWriting(in: chunk))
        let loan = fill.lendForWriting(wanted, in: chunk)
        chunk.unlock()
        context.note(.write, BasePage.numbers(covering: loan.range), in: hashed)
        return loan
    }

    /// Whether what `wanted` covers only in part of `pages` is, still, known to be zeroes.
    private func needsNoReading(
        _ pages: Range<UInt64>, for wanted: Range<Int64>, in chunk: borrowing LockedChunk
    ) -> Bool {
        let zeroes = context.map.knownZeroes(in: chunk)
        let coversEnd = wanted.endsWithPage(ofImage: size) || BasePage.offset(of: pages.upperBound) <= wanted.upperBound
        return (wanted.startsWithPage || zeroes.contains(pages.lowerBound))
            && (coversEnd || zeroes.contains(pages.upperBound - 1))
    }
}
