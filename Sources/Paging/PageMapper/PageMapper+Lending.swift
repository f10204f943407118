import CIntrinsics

/// Every loan is made here: of flexpages that are resident, for a reader or for a writer; of flexpages that the caller
/// has already pinned, because it filled them or waited for them; and of known zeroes.
///
/// `pin` and `use` alone count the use of a page: its hit, its mark, and the beginning of its time. All of it wants the
/// lock of the chunk's shard.
extension PageMapper.Context {
    /// Lends the flexpages at the beginning of `wanted` that are populated and may be read now.
    /// - Parameter first: The flexpage that covers the first page of `wanted`, or `.none`.
    /// - Parameter countingFrom: Pages before this offset are not counted as hits.
    /// - Returns: A loan of nothing if the first page is missing, being filled, or held by a writer.
    @inline(__always)
    func lendResident(
        _ wanted: Range<Int64>, from first: FlexpageID, in chunk: borrowing LockedChunk, countingFrom: Int64
    ) -> Loan {
        var loan = Loan(self, at: wanted.lowerBound)
        var id = first
        while id != .none {
            fetch(id)
            if Flaw.latePin.isPlanted { chunk.shard.letOthersIn() }
            guard pin(id, exclusively: false, at: loan.range.upperBound, &loan.mark) else { break }
            loan.add(id, upTo: wanted.upperBound)
            guard loan.range.upperBound < wanted.upperBound, !loan.isFull else { break }
            id = map.flexpage(at: BasePage.number(of: loan.range.upperBound), in: chunk)
        }
        let counted = max(loan.range.lowerBound, countingFrom)..<max(loan.range.upperBound, countingFrom)
        if !counted.isEmpty {
            let before = chunk.shard.pointee.hits
            let pages = BasePage.numbers(covering: counted)
            chunk.shard.pointee.hits = before &+ UInt64(pages.count)
            map.counters.countHits(chunk.shard.pointee.hits &- before, in: chunk)
            clock.countTime(ofHits: before, chunk.shard.pointee.hits)
            note(.hit, pages, in: chunk.chunk)
        }
        return loan
    }

    /// Asks for the memory of flexpage `id` to be near by, because the bytes are wanted next and its word is waited for
    /// meanwhile. Sixteen lines took 80 ns off a random hit of 4 KiB, four lines 30. The processor's own prefetcher
    /// does the rest.
    @inline(__always)
    private func fetch(_ id: FlexpageID) {
        let memory = table.memory(of: id)
        for line in 0..<16 { flexpage_prefetch(memory + line &* 64) }
    }

    /// Lends the beginning of `wanted`, as far as it is known to be zeroes.
    /// - Parameter countingFrom: Zeroes before this offset are not counted as hits.
    /// - Returns: A loan with an empty range if the first page is not known to be zeroes.
    func lendZeroes(_ wanted: Range<Int64>, in chunk: borrowing LockedChunk, countingFrom: Int64) -> Loan {
        let pages = BasePage.numbers(covering: wanted)
        let end = map.knownZeroes(in: chunk).end(ofRunFrom: pages.lowerBound, upTo: pages.upperBound)
        guard end > pages.lowerBound else { return Loan(self, at: wanted.lowerBound) }
        if countingFrom <= wanted.lowerBound {
            chunk.shard.pointee.zeroHits += end - pages.lowerBound
            map.counters.countZeroHits(end - pages.lowerBound)
        }
        var loan = Loan(self, zeroes: wanted.lowerBound..<min(BasePage.offset(of: end), wanted.upperBound))
        loan.mark = map.takeMark(ofZeroes: pages.lowerBound..<end, in: chunk)
        return loan
    }

    /// Lends flexpage `id`, which covers the beginning of `wanted`, to a reader that pinned it while it was being
    /// filled. That is its first use if it was read ahead.
    func lendAwaited(_ id: FlexpageID, _ wanted: Range<Int64>, in chunk: borrowing LockedChunk) -> Loan {
        var loan = Loan(self, at: wanted.lowerBound)
        let flexpage = table.word(id)
        let position = QueuePosition(flexpage.pointee.position.load(ordering: .relaxed))
        let word = flexpage.pointee.state.bitwiseAnd(~PageState.untilUsed, ordering: .relaxed).oldValue
        if PageState(word).has(PageState.prefetched) { readahead.late() }
        loan.mark = use(flexpage, was: PageState(word), position, at: wanted.lowerBound)
        loan.add(id, upTo: wanted.upperBound)
        return loan
    }

    // MARK: What a use counts

    /// Pins flexpage `id`, which covers the byte at `offset`, if it may be lent now, and counts the use.
    /// - Parameter exclusively: For one writer alone, which makes it dirty.
    /// - Parameter mark: Becomes the page that was marked, if the use is the first one of a page with a mark.
    @inline(__always)
    func pin(_ id: FlexpageID, exclusively: Bool, at offset: Int64, _ mark: inout UInt64?) -> Bool {
        let flexpage = table.word(id)
        let position = QueuePosition(flexpage.pointee.position.load(ordering: .relaxed))
        let added = exclusively ? PageState.exclusive | PageState.dirty : 0
        var word = flexpage.pointee.state.load(ordering: .relaxed)
        while exclusively ? PageState(word).isLendableExclusively : PageState(word).isLendable {
            let pinned = clock.countingUse(word, position) &+ PageState.pin | added
            let (exchanged, original) = flexpage.pointee.state.weakCompareExchange(
                expected: word, desired: pinned, ordering: .acquiring)
            if exchanged {
                if let marked = use(flexpage, was: PageState(word), position, at: offset) { mark = marked }
                return true
            }
            word = original
        }
        return false
    }

    /// A flexpage, whose state was `word` before, has been pinned for a use. If it was read ahead and this is its first
    /// use, its time begins now.
    /// - Returns: Its first page if it was marked.
    @inline(__always)
    private func use(
        _ flexpage: UnsafeMutablePointer<FlexpageWord>, was word: PageState, _ position: QueuePosition, at offset: Int64
    ) -> UInt64? {
        guard word.has(PageState.prefetched) else { return nil }
        clock.startTime(of: flexpage, position)
        readahead.on.used(1 &<< position.order)
        guard word.has(PageState.marked) else { return nil }
        return position.covered(with: BasePage.number(of: offset)).lowerBound
    }
}

extension PageMapper {
    /// Latches those flexpages at the beginning of `wanted` that are resident and that no client has. What is written
    /// of them becomes dirty, with `admission`. A flexpage of which only a part is written is split first.
    /// - Parameter obstacle: Becomes the flexpage that another thread has and at which the loan ends, or `.none`.
    func lendResidentForWriting(
        _ wanted: Range<Int64>, in chunk: borrowing LockedChunk, _ admission: inout Admission,
        _ obstacle: inout FlexpageID
    ) -> Loan {
        var loan = Loan(context, at: wanted.lowerBound, exclusively: true)
        // A writer's arrival starts no reading ahead.
        var mark: UInt64?
        obstacle = .none
        while loan.range.upperBound < wanted.upperBound, !loan.isFull {
            let whole = context.map.flexpage(at: BasePage.number(of: loan.range.upperBound), in: chunk)
            guard whole != .none else { break }
            let left = BasePage.numbers(covering: loan.range.upperBound..<wanted.upperBound)
            let id = splitOff(left.clamped(to: context.table[whole].covered), from: whole, in: chunk)
            guard context.pin(id, exclusively: true, at: loan.range.upperBound, &mark) else {
                obstacle = id
                break
            }
            admission.use(context.map.markDirty(left.clamped(to: context.table[id].covered), in: chunk))
            loan.add(id, upTo: wanted.upperBound)
        }
        return loan
    }
}

extension Fill {
    /// Lends the published flexpages that `wanted` begins with, or the zeroes that were found there, to the filler. Its
    /// pins on the other flexpages go back.
    mutating func lend(_ wanted: Range<Int64>, in chunk: borrowing LockedChunk) -> Loan {
        var loan = Loan(context, at: wanted.lowerBound)
        // A flexpage that begins after the loan's end has zeroes before it. It is for another loan.
        while loan.count < issued, !loan.isFull,
            begin(ofFlexpage: loan.count) < wanted.upperBound, begin(ofFlexpage: loan.count) <= loan.range.upperBound
        {
            loan.add(id(loan.count), upTo: wanted.upperBound)
        }
        unpin(loan.count..<issued)
        return loan.count > 0 ? loan : Loan(context, zeroes: zeroes(of: wanted))
    }

    private mutating func begin(ofFlexpage index: Int) -> Int64 {
        BasePage.offset(of: context.table[id(index)].pointee.key.page)
    }

    /// Lends the flexpages that `publishForWriting` has published, all of them, to the writer that will populate them.
    mutating func lendForWriting(_ wanted: Range<Int64>, in chunk: borrowing LockedChunk) -> Loan {
        var loan = Loan(context, at: wanted.lowerBound, exclusively: true, fresh: true)
        for index in 0..<issued { loan.add(id(index), upTo: wanted.upperBound) }
        return loan
    }
}
