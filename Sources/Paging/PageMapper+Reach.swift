import CIntrinsics

extension PageMapper.Reach {
    /// What loans are made with; it stays where it is.
    typealias Pointer = UnsafePointer<PageMapper.Reach>
    /// Lends the flexpages at the beginning of `wanted` that are populated and may be read now. The shard's lock is held.
    /// - Parameter countingFrom: Pages before this offset are not counted as hits.
    /// - Returns: A loan of nothing where the first page is missing, being filled, or held by a writer.
    @inline(__always)
    static func lendResident(
        _ reach: Pointer, _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, countingFrom: Int64
    ) -> Loan {
        var loan = Loan(reach, at: wanted.lowerBound)
        while loan.range.upperBound < wanted.upperBound, !loan.isFull {
            let id = reach.pointee.map.flexpage(at: BasePage.number(of: loan.range.upperBound))
            guard id != .none, reach.pointee.pin(id) else { break }
            loan.add(id, upTo: wanted.upperBound)
        }
        let counted = max(loan.range.lowerBound, countingFrom)..<max(loan.range.upperBound, countingFrom)
        if !counted.isEmpty { shard.pointee.hits &+= UInt64(BasePage.numbers(covering: counted).count) }
        return loan
    }

    /// Pins flexpage `id` for a reader and counts the hit, if it may be read now. The shard's lock is held.
    @inline(__always)
    private func pin(_ id: FlexpageID) -> Bool {
        let flexpage = table[id]
        // The bytes are wanted next; the flexpage's own cache line is waited for meanwhile.
        flexpage_prefetch(table.memory(of: id))
        let place = flexpage.pointee.place.load(ordering: .relaxed)
        var word = flexpage.pointee.state.load(ordering: .relaxed)
        while PageState(word).isLendable {
            let pinned = queue.countingHit(word, place: place) &+ PageState.pin
            let (exchanged, original) = flexpage.pointee.state.weakCompareExchange(
                expected: word, desired: pinned, ordering: .acquiring)
            if exchanged { return true }
            word = original
        }
        return false
    }

    /// Pins flexpage `id` for one writer alone and marks `pages` of it dirty, if it may be written now. The shard's lock
    /// is held.
    /// - Returns: How many of the pages were not dirty before, or nil where it may not be written now.
    func pinExclusively(_ id: FlexpageID, dirtying pages: Range<UInt64>) -> Int? {
        let flexpage = table[id]
        let place = flexpage.pointee.place.load(ordering: .relaxed)
        var word = flexpage.pointee.state.load(ordering: .relaxed)
        while PageState(word).isLendableExclusively {
            let pinned = queue.countingHit(word, place: place) &+ PageState.pin | PageState.exclusive | PageState.dirty
            let (exchanged, original) = flexpage.pointee.state.weakCompareExchange(
                expected: word, desired: pinned, ordering: .acquiring)
            if exchanged { return map.markDirty(pages) }
            word = original
        }
        return nil
    }

    /// Sleeps until who has flexpage `id` (reads, writes, fills it or writes it out) may have let go of it. The shard's
    /// lock is held; the caller looks again.
    func waitUntilSettled(_ id: FlexpageID, on shard: UnsafeMutablePointer<Shard>) {
        let word = table[id].pointee.state.bitwiseOr(PageState.awaited, ordering: .sequentiallyConsistent).oldValue
        // Whoever gives the last pin back after this wakes us; if it was given back before, nobody will.
        if PageState(word).pins == 0, !PageState(word).has(PageState.writing) {
            table[id].pointee.state.bitwiseAnd(~PageState.awaited, ordering: .relaxed)
            return
        }
        shard.wait()
    }

    /// Wakes who waits for a flexpage of `pages`, which lie in one chunk. The shard's lock is held.
    func wakeWaiters(for pages: Range<UInt64>, on shard: UnsafeMutablePointer<Shard>) {
        var isAwaited = false
        var page = pages.lowerBound
        while page < pages.upperBound {
            let id = map.flexpage(at: page)
            guard id != .none else {
                page += 1
                continue
            }
            let word = table[id].pointee.state.load(ordering: .relaxed)
            if PageState(word).has(PageState.awaited), !PageState(word).has(PageState.writing | PageState.exclusive) {
                // Readers may still have pins: the last of them wakes who goes on waiting.
                table[id].pointee.state.bitwiseAnd(~PageState.awaited, ordering: .sequentiallyConsistent)
                isAwaited = true
            }
            page = table[id].pointee.covered.upperBound
        }
        if isAwaited { shard.wakeAll() }
    }

    /// Gives a pin on flexpage `id` back: a reader's, or with `PageState.exclusive` added a writer's. No lock is held.
    @inline(__always)
    func giveBack(_ id: FlexpageID, _ pin: UInt32 = PageState.pin) {
        let flexpage = table[id]
        // After the pin is gone the flexpage may be another's.
        let page = flexpage.pointee.key.page
        let word = flexpage.pointee.state.subtract(pin, ordering: .sequentiallyConsistent).oldValue
        if word & (PageState.awaited | PageState.failed) != 0 || waiters.isAnyoneWaiting {
            wakeAfterGivingBack(id, page: page, word: PageState(word))
        }
    }

    /// The rest of giving back where somebody waits for it. `word` is what the flexpage's was with the pin.
    @inline(never)
    private func wakeAfterGivingBack(_ id: FlexpageID, page: UInt64, word: PageState) {
        guard word.pins == 1 else { return }
        if word.has(PageState.failed) {
            pages.give(table.region(of: id))
            return
        }
        if word.has(PageState.awaited) {
            let shard = map.shard(of: page)
            shard.lock()
            // Only while the map says so is it still the same flexpage.
            if map.flexpage(at: page) == id {
                table[id].pointee.state.bitwiseAnd(~PageState.awaited, ordering: .relaxed)
            }
            shard.wakeAll()
            shard.unlock()
        }
        waiters.wake()
    }
}
