/// What of the image is newer in memory than on disk. Everything here wants the shard's lock held.
extension AccessMap {
    /// Marks `pages`, all of them resident, dirty.
    /// - Returns: How many were not dirty before.
    func markDirty(_ pages: Range<UInt64>) -> Int {
        var newly = 0
        forEachLeaf(of: pages) { leaf, bits in
            newly += (bits & ~leaf.pointee.dirty).nonzeroBitCount
            let wasClean = leaf.pointee.dirty == 0
            leaf.pointee.dirty |= bits
            ledger.dirtied(id(of: leaf), wasClean: wasClean)
        }
        return newly
    }

    /// `pages` have been written out.
    func endWriteback(_ pages: Range<UInt64>) {
        forEachLeaf(of: pages) { leaf, bits in
            assert(leaf.pointee.writing & bits == bits, "what ends has begun")
            leaf.pointee.writing &= ~bits
            forgetBad(leaf, bits)
            risk.countUnsynced((bits & ~leaf.pointee.unsynced).nonzeroBitCount)
            leaf.pointee.unsynced |= bits
            ledger.wroteOut(id(of: leaf))
        }
        updateStates(of: pages)
    }

    /// `pages` could not be written out: they are dirty again. One that came alone is known to be bad from now on.
    func failWriteback(_ pages: Range<UInt64>, _ error: AccessError, isAlone: Bool) {
        forEachLeaf(of: pages) { leaf, bits in
            leaf.pointee.writing &= ~bits
            leaf.pointee.dirty |= bits
            ledger.failedToWriteOut(id(of: leaf), error)
        }
        if isAlone { table.badPages.noteFailure(of: frame(of: pages.lowerBound), at: Writeback.seconds) }
        updateStates(of: pages)
    }

    /// `pages` have been written out, but a sync that failed meanwhile may have lost them: they are dirty again.
    func undoWriteback(_ pages: Range<UInt64>) {
        forEachLeaf(of: pages) { leaf, bits in
            leaf.pointee.writing &= ~bits
            leaf.pointee.dirty |= bits
            forgetBad(leaf, bits)
            ledger.syncFailedMeanwhile(id(of: leaf))
        }
        updateStates(of: pages)
    }

    /// What was written to `pages` no longer matters: the image has newer contents.
    /// - Returns: How many were dirty.
    func forgetDirtyPages(of pages: Range<UInt64>) -> Int {
        var forgotten = 0
        forEachLeaf(of: pages) { leaf, bits in
            assert(leaf.pointee.writing & bits == 0, "what is going out is waited for")
            forgotten += (leaf.pointee.dirty & bits).nonzeroBitCount
            leaf.pointee.dirty &= ~bits
            forgetBad(leaf, bits)
            forgetUnsynced(leaf, bits)
            ledger.pagesDropped(id(of: leaf))
        }
        updateStates(of: pages)
        return forgotten
    }

    /// Those of `pages`, which lie in one chunk, that are dirty or going out.
    func dirtyPages(of pages: Range<UInt64>) -> PageSet {
        var found = PageSet()
        forEachLeaf(of: pages) { leaf, bits in
            var left = (leaf.pointee.dirty | leaf.pointee.writing) & bits
            while left != 0 {
                found.insert(leaf.firstPage + UInt64(left.trailingZeroBitCount))
                left &= left - 1
            }
        }
        return found
    }

    /// The frame of `page`, which is resident.
    private func frame(of page: UInt64) -> FlexpageID { table.frame(of: page, in: flexpage(at: page)) }

    /// The leaf's pages in `bits` are known to be bad no longer: they are out, or dropped. The Ledger hears of it after
    /// this.
    private func forgetBad(_ leaf: UnsafeMutablePointer<Leaf>, _ bits: UInt8) {
        guard leaf.pointee.status.hasFailed else { return }
        for index in 0..<Leaf.pages where bits & 1 << UInt8(index) != 0 {
            let id = leaf.pointee.flexpages[index]
            if id != FlexpageID.none { table.badPages.forget(table.frame(of: leaf.firstPage + UInt64(index), in: id)) }
        }
    }

    /// Brings the words of the flexpages that cover `pages` in line with the leaves' bits.
    func updateStates(of pages: Range<UInt64>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let id = flexpage(at: page)
            guard id != FlexpageID.none else {
                page += 1
                continue
            }
            updateState(of: id)
            page = table[id].covered.upperBound
        }
    }

    /// What the leaves have of flexpage `id`, as bits of its word.
    func stateOfPages(of id: FlexpageID) -> PageState {
        var bits: UInt32 = 0
        forEachLeaf(of: table[id].covered) { leaf, mask in
            if leaf.pointee.dirty & mask != 0 { bits |= PageState.dirty }
            if leaf.pointee.writing & mask != 0 { bits |= PageState.writing }
            if leaf.pointee.unsynced & mask != 0 { bits |= PageState.unsynced }
        }
        return PageState(bits)
    }

    private func updateState(of id: FlexpageID) {
        let bits = stateOfPages(of: id).raw
        let changed = PageState.dirty | PageState.writing | PageState.unsynced
        var word = table.word(id).pointee.state.load(ordering: .relaxed)
        while true {
            let (exchanged, original) = table.word(id).pointee.state.weakCompareExchange(
                expected: word, desired: word & ~changed | bits, ordering: .sequentiallyConsistent)
            if exchanged { return }
            word = original
        }
    }

    /// Calls `body` with each leaf that there is of `pages`, which lie in one chunk, and the bits of those pages in it.
    @inline(__always)
    func forEachLeaf(of pages: Range<UInt64>, _ body: (UnsafeMutablePointer<Leaf>, UInt8) -> Void) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min((page | 7) + 1, pages.upperBound)
            if let leaf = leaf(of: page) { body(leaf, Leaf.bits(Int(page & 7)..<Int((next - 1) & 7) + 1)) }
            page = next
        }
    }
}
