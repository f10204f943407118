/// Pins: given back at the end of a loan, and waited for. `pin` is in PageMapper+Lending.
extension PageMapper.Context {
    /// Sleeps until those that have flexpage `id` may have let go of it: they read it, write it, fill it or write it
    /// out. The caller looks again.
    func waitUntilReleased(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        let word = table.word(id).pointee.state.bitwiseOr(PageState.hasWaiters, ordering: .sequentiallyConsistent)
            .oldValue
        // If the last pin is given back after this, we are woken. If it was given back before, nobody wakes us.
        if PageState(word).pins == 0, !PageState(word).has(PageState.writing) {
            table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
            return
        }
        map.counters.countWait()
        chunk.wait()
    }

    /// Sleeps until another thread's fill of flexpage `id` has ended, with a pin of the caller's on the flexpage.
    /// - Returns: What it is then: populated or withdrawn. The caller has the pin.
    func pinAndWaitForFill(of id: FlexpageID, in chunk: borrowing LockedChunk) -> PageState {
        let flexpage = table.word(id)
        let before = flexpage.pointee.state.wrappingAdd(PageState.pin, ordering: .relaxed).oldValue
        assert(!PageState(before).has(PageState.populated) && PageState(before).pins > 0, "a fill has its filler")
        var state: PageState
        repeat {
            flexpage.pointee.state.bitwiseOr(PageState.hasWaiters, ordering: .relaxed)
            map.counters.countWait()
            chunk.wait()
            state = table.state(of: id)
        } while !state.has(PageState.populated | PageState.withdrawn)
        return state
    }

    /// Wakes the threads that wait for a flexpage of `pages`.
    func wakeWaiters(for pages: Range<UInt64>, in chunk: borrowing LockedChunk) {
        var hasWaiters = false
        map.forEachFlexpage(of: pages, in: chunk) { id in
            let word = PageState(table.word(id).pointee.state.load(ordering: .relaxed))
            guard word.has(PageState.hasWaiters), !word.has(PageState.writing | PageState.exclusive) else { return }
            // Readers may still have pins: the last of them wakes those that go on waiting.
            table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .sequentiallyConsistent)
            hasWaiters = true
        }
        if hasWaiters { chunk.wakeAll() }
    }

    /// Gives back a pin on flexpage `id`, which covers `page`. A writer's has `PageState.exclusive` added. No lock is
    /// held.
    @inline(__always)
    func giveBack(_ id: FlexpageID, covering page: UInt64, _ pin: UInt32 = PageState.pin) {
        let word = table.word(id).pointee.state.wrappingSubtract(pin, ordering: .sequentiallyConsistent)
            .oldValue
        assert(PageState(word).pins > 0, "only a pin that was taken is given back")
        LockRank.assertNoneHeld("a pin is given back")
        if word & (PageState.hasWaiters | PageState.withdrawn) != 0 || waiters.isAnyoneWaiting {
            wakeAfterGivingBack(id, page: page, word: PageState(word))
        }
    }

    /// The rest of giving back a pin, if a thread waits. `word` is the state with the pin.
    @inline(never)
    private func wakeAfterGivingBack(_ id: FlexpageID, page: UInt64, word: PageState) {
        guard word.pins == 1 else { return }
        if word.has(PageState.withdrawn) {
            pages.give(table.region(of: id))
            return
        }
        if word.has(PageState.hasWaiters) {
            map.chunk(of: page).withLock { chunk in
                // Only while the map says so is it still the same flexpage.
                if map.flexpage(at: page, in: chunk) == id {
                    table.word(id).pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
                }
                if !Flaw.droppedWakeUp.isPlanted { chunk.wakeAll() }
            }
        }
        waiters.wake()
    }
}
