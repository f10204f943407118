/// What of the image is newer in memory than on disk. Everything here wants the lock of the shard.
extension AccessMap {
    /// Marks `pages`, all of them resident, dirty.
    /// - Returns: How many were not dirty before.
    func markDirty(_ pages: Range<UInt64>, in chunk: borrowing LockedChunk) -> Int {
        assert(vacantPages(in: pages, of: chunk).isEmpty, "what is dirty is resident")
        var newly = 0
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            newly += (bits & ~leaf.pointee.dirty).nonzeroBitCount
            let wasClean = leaf.pointee.dirty == 0
            leaf.pointee.dirty |= bits
            ledger.dirtied(id(of: leaf), wasClean: wasClean)
        }
        return newly
    }

    /// `pages` have been written out.
    func endWriteback(_ pages: Range<UInt64>, in chunk: borrowing LockedChunk) {
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            assert(leaf.pointee.writing & bits == bits, "what ends has begun")
            leaf.pointee.writing &= ~bits
            forgetBad(leaf, bits)
            risk.countUnsynced((bits & ~leaf.pointee.unsynced).nonzeroBitCount)
            leaf.pointee.unsynced |= bits
            ledger.wroteOut(id(of: leaf))
        }
        updateStates(of: pages, in: chunk)
    }

    /// `pages`, resident for the first time, hold what has just been written to the image, which is not durable.
    func noteWritten(_ pages: Range<UInt64>, in chunk: borrowing LockedChunk) {
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            assert((leaf.pointee.unsynced | leaf.pointee.dirty | leaf.pointee.writing) & bits == 0, "they are new")
            risk.countUnsynced(bits.nonzeroBitCount)
            leaf.pointee.unsynced |= bits
            ledger.wroteOut(id(of: leaf))
        }
        updateStates(of: pages, in: chunk)
    }

    /// `pages` could not be written out: they are dirty again. A page that was tried alone is known to be bad from now
    /// on.
    func failWriteback(
        _ pages: Range<UInt64>, _ error: AccessError, isAlone: Bool, in chunk: borrowing LockedChunk
    ) {
        assert(!isAlone || pages.count == 1, "a page alone is one page")
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            assert(leaf.pointee.writing & bits == bits, "what ends has begun")
            leaf.pointee.writing &= ~bits
            leaf.pointee.dirty |= bits
            ledger.failedToWriteOut(id(of: leaf), error)
        }
        if isAlone {
            let page = pages.lowerBound
            let frame = table.frame(of: page, in: flexpage(at: page, in: chunk))
            table.badPages.noteFailure(of: frame, at: BadPages.now)
        }
        updateStates(of: pages, in: chunk)
    }

    /// `pages` have been written out, but a sync that failed meanwhile may have lost them: they are dirty again.
    func undoWriteback(_ pages: Range<UInt64>, in chunk: borrowing LockedChunk) {
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            assert(leaf.pointee.writing & bits == bits, "what ends has begun")
            leaf.pointee.writing &= ~bits
            leaf.pointee.dirty |= bits
            forgetBad(leaf, bits)
            ledger.syncFailedMeanwhile(id(of: leaf))
        }
        updateStates(of: pages, in: chunk)
    }

    /// The leaf's pages in `bits` are durable, or can never be called that: the next server need not write them out.
    /// - Parameter isReserved: Whether a zero or trim has reserved a page. Then the image may be another one already,
    ///   and the next server must not find the page at all.
    func settle(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8, isReserved: (UInt64) -> Bool) {
        guard let kept = table.kept else { return }
        for page in leaf.pages where bits & Leaf.bit(of: page) != 0 {
            let frame = Int(table.frame(of: page, in: leaf.pointee.flexpages[Leaf.index(of: page)]))
            let isKept = Flaw.settledInAZero.isPlanted || !isReserved(page)
            if isKept { kept.settle(frame) } else { kept[frame] = .empty }
        }
    }

    /// What was written to `pages` no longer matters: the image has newer contents.
    /// - Parameter isDurable: The image's newer contents are durable.
    /// - Returns: How many were dirty.
    func forgetDirtyPages(of pages: Range<UInt64>, isDurable: Bool, in chunk: borrowing LockedChunk) -> Int {
        var forgotten = 0
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            assert(leaf.pointee.writing & bits == 0, "what is going out is waited for")
            forgotten += (leaf.pointee.dirty & bits).nonzeroBitCount
            leaf.pointee.dirty &= ~bits
            forgetBad(leaf, bits)
            forgetUnsynced(leaf, bits, isAtRisk: !isDurable)
            ledger.pagesDropped(id(of: leaf))
        }
        updateStates(of: pages, in: chunk)
        return forgotten
    }

    /// Those of `pages` that are dirty or going out.
    func dirtyPages(of pages: Range<UInt64>, in chunk: borrowing LockedChunk) -> PageSet {
        var found = PageSet()
        forEachLeaf(of: pages, in: chunk) { leaf, bits in
            var left = (leaf.pointee.dirty | leaf.pointee.writing) & bits
            while left != 0 {
                found.insert(leaf.firstPage + UInt64(left.trailingZeroBitCount))
                left &= left - 1
            }
        }
        return found
    }

    /// The leaf's pages in `bits` are known to be bad no longer: they are out, or dropped. The Ledger hears of it after
    /// this.
    private func forgetBad(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8) {
        guard leaf.pointee.status.hasFailed else { return }
        for page in leaf.pages where bits & Leaf.bit(of: page) != 0 {
            let id = leaf.pointee.flexpages[Leaf.index(of: page)]
            if id != FlexpageID.none { table.badPages.forget(table.frame(of: page, in: id)) }
        }
    }

    /// Brings the words of the flexpages that cover `pages` in line with the leaves' bits.
    func updateStates(of pages: Range<UInt64>, in chunk: borrowing LockedChunk) {
        forEachFlexpage(of: pages, in: chunk) { id in
            let bits = stateOfPages(of: id, in: chunk).raw
            let changed = PageState.dirty | PageState.writing | PageState.unsynced
            var word = table.word(id).pointee.state.load(ordering: .relaxed)
            while true {
                let (exchanged, original) = table.word(id).pointee.state.weakCompareExchange(
                    expected: word, desired: word & ~changed | bits, ordering: .sequentiallyConsistent)
                if exchanged { return }
                word = original
            }
        }
    }

    /// What the leaves have of flexpage `id`, as bits of its word.
    func stateOfPages(of id: FlexpageID, in chunk: borrowing LockedChunk) -> PageState {
        var bits: UInt32 = 0
        forEachLeaf(of: table[id].covered, in: chunk) { leaf, mask in
            if leaf.pointee.dirty & mask != 0 { bits |= PageState.dirty }
            if leaf.pointee.writing & mask != 0 { bits |= PageState.writing }
            if leaf.pointee.unsynced & mask != 0 { bits |= PageState.unsynced }
        }
        return PageState(bits)
    }
}
