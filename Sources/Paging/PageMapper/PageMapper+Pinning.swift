import CIntrinsics

/// Pins: taken for a loan, given back at its end, and waited for.
extension PageMapper.Context {
    /// Lends the flexpages at the beginning of `wanted` that are populated and may be read now. The shard's lock is
    /// held.
    /// - Parameter countingFrom: Pages before this offset are not counted as hits.
    /// - Returns: A loan of nothing where the first page is missing, being filled, or held by a writer.
    @inline(__always)
    func lendResident(
        _ wanted: Range<Int64>, at hash: AccessMap.ChunkHash, countingFrom: Int64
    ) -> Loan {
        var loan = Loan(self, at: wanted.lowerBound)
        while loan.range.upperBound < wanted.upperBound, !loan.isFull {
            let page = BasePage.number(of: loan.range.upperBound)
            let id = map.flexpage(at: page, hash)
            if Flaw.latePin.isPlanted { map.shard(at: hash).letOthersIn() }
            guard id != .none, pin(id, at: page, &loan.mark) else { break }
            loan.add(id, upTo: wanted.upperBound)
        }
        let counted = max(loan.range.lowerBound, countingFrom)..<max(loan.range.upperBound, countingFrom)
        if !counted.isEmpty {
            let shard = map.shard(at: hash)
            let before = shard.pointee.hits
            shard.pointee.hits = before &+ UInt64(BasePage.numbers(covering: counted).count)
            queue.countTime(ofHits: before, shard.pointee.hits)
        }
        return loan
    }

    /// Pins flexpage `id`, which covers `page`, for a reader and counts the hit, if it may be read now. The shard's
    /// lock is held.
    @inline(__always)
    private func pin(_ id: FlexpageID, at page: UInt64, _ mark: inout UInt64?) -> Bool {
        let flexpage = table.word(id)
        // The bytes are wanted next; the flexpage's word is waited for meanwhile. Sixteen lines took 80 ns off a random
        // hit of 4 KiB, four lines 30, and the processor's own prefetcher does the rest.
        let memory = table.memory(of: id)
        for line in 0..<16 { flexpage_prefetch(memory + line &* 64) }
        let position = QueuePosition(flexpage.pointee.position.load(ordering: .relaxed))
        var word = flexpage.pointee.state.load(ordering: .relaxed)
        while PageState(word).isLendable {
            let pinned = queue.countingUse(word, position) &+ PageState.pin
            let (exchanged, original) = flexpage.pointee.state.weakCompareExchange(
                expected: word, desired: pinned, ordering: .acquiring)
            if exchanged {
                if PageState(word).has(PageState.prefetched) {
                    queue.startTime(of: flexpage, position)
                    if PageState(word).has(PageState.marked) { mark = position.covered(with: page).lowerBound }
                }
                return true
            }
            word = original
        }
        return false
    }

    /// The caller, who has it pinned, is the first to use flexpage `id`, which may have been read ahead.
    /// - Returns: Its first page if it is marked.
    func takeMark(of id: FlexpageID) -> UInt64? {
        let word = table.word(id).pointee.state.bitwiseAnd(~PageState.untilUsed, ordering: .relaxed)
            .oldValue
        return PageState(word).has(PageState.marked) ? table[id].pointee.key.page : nil
    }

    /// Pins flexpage `id` for one writer alone and marks `pages` of it dirty, if it may be written now. The shard's
    /// lock is held.
    /// - Returns: How many of the pages were not dirty before, or nil where it may not be written now.
    func pinExclusively(_ id: FlexpageID, dirtying pages: Range<UInt64>) -> Int? {
        let flexpage = table.word(id)
        let position = QueuePosition(flexpage.pointee.position.load(ordering: .relaxed))
        var word = flexpage.pointee.state.load(ordering: .relaxed)
        while PageState(word).isLendableExclusively {
            let used = queue.countingUse(word, position)
            let pinned = used &+ PageState.pin | PageState.exclusive | PageState.dirty
            let (exchanged, original) = flexpage.pointee.state.weakCompareExchange(
                expected: word, desired: pinned, ordering: .acquiring)
            if exchanged {
                if PageState(word).has(PageState.prefetched) { queue.startTime(of: flexpage, position) }
                return map.markDirty(pages)
            }
            word = original
        }
        return nil
    }

    /// Sleeps until who has flexpage `id` (reads, writes, fills it or writes it out) may have let go of it. The shard's
    /// lock is held; the caller looks again.
    func waitUntilReleased(_ id: FlexpageID, on shard: UnsafeMutablePointer<Shard>) {
        let word = table.word(id).pointee.state.bitwiseOr(PageState.hasWaiters, ordering: .sequentiallyConsistent)
            .oldValue
        // Whoever gives the last pin back after this wakes us; if it was given back before, nobody will.
        if PageState(word).pins == 0, !PageState(word).has(PageState.writing) {
            table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
            return
        }
        shard.wait()
    }

    /// Wakes who waits for a flexpage of `pages`, which lie in one chunk. The shard's lock is held.
    func wakeWaiters(for pages: Range<UInt64>, on shard: UnsafeMutablePointer<Shard>) {
        var hasWaiters = false
        var page = pages.lowerBound
        while page < pages.upperBound {
            let id = map.flexpage(at: page)
            guard id != .none else {
                page += 1
                continue
            }
            let word = table.word(id).pointee.state.load(ordering: .relaxed)
            if PageState(word).has(PageState.hasWaiters), !PageState(word).has(PageState.writing | PageState.exclusive)
            {
                // Readers may still have pins: the last of them wakes who goes on waiting.
                table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .sequentiallyConsistent)
                hasWaiters = true
            }
            page = table[id].covered.upperBound
        }
        if hasWaiters { shard.wakeAll() }
    }

    /// Gives a pin on flexpage `id`, which covers `page`, back: a reader's, or with `PageState.exclusive` added a
    /// writer's. No lock is held.
    @inline(__always)
    func giveBack(_ id: FlexpageID, covering page: UInt64, _ pin: UInt32 = PageState.pin) {
        let word = table.word(id).pointee.state.wrappingSubtract(pin, ordering: .sequentiallyConsistent)
            .oldValue
        if word & (PageState.hasWaiters | PageState.withdrawn) != 0 || waiters.isAnyoneWaiting {
            wakeAfterGivingBack(id, page: page, word: PageState(word))
        }
    }

    /// The rest of giving back where somebody waits for it. `word` is what the flexpage's was with the pin.
    @inline(never)
    private func wakeAfterGivingBack(_ id: FlexpageID, page: UInt64, word: PageState) {
        guard word.pins == 1 else { return }
        if word.has(PageState.withdrawn) {
            pages.give(table.region(of: id))
            return
        }
        if word.has(PageState.hasWaiters) {
            let shard = map.shard(of: page)
            shard.lock()
            // Only while the map says so is it still the same flexpage.
            if map.flexpage(at: page) == id {
                table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
            }
            if !Flaw.droppedWakeUp.isPlanted { shard.wakeAll() }
            shard.unlock()
        }
        waiters.wake()
    }
}
