/// The way out: dirty pages to the Accessor.
extension PageMapper {
    /// Writes out what is dirty of the leaves, whose keys are in ascending order.
    /// - Parameter passingOverReserved: Leave alone what a zero or trim has reserved, rather than wait for its end.
    /// - Parameter effort: What is done for pages that are known to be bad.
    /// - Returns: Whether something was left alone, and the first error; one failure does not stop the rest.
    func writeOut(
        leaves keys: UnsafeBufferPointer<UInt64>, passingOverReserved: Bool = false,
        _ effort: WriteBatch.Effort = .again
    ) -> (hasPassedOver: Bool, error: AccessError?) {
        var batch = WriteBatch(context, accessor, passingOverReserved: passingOverReserved, effort)
        for key in keys {
            let page = Leaf.firstPage(ofKey: key)
            batch.writeOut(leafOf: page, in: page..<page + UInt64(Leaf.pages))
        }
        batch.finish()
        return (batch.hasPassedOver, batch.error)
    }

    /// Writes out what is dirty of `pages` and waits for what others are writing out of them: what was written to them
    /// before the call is on the image then. O(leaves of the range).
    func writeOut(_ pages: Range<UInt64>) throws(AccessError) {
        var batch = WriteBatch(context, accessor)
        var page = pages.lowerBound
        while page < pages.upperBound {
            batch.writeOut(leafOf: page, in: pages)
            page = (page | 7) + 1
        }
        batch.finish()
        if let error = batch.error { throw error }
        page = pages.lowerBound
        while page < pages.upperBound {
            let next = min((page | 7) + 1, pages.upperBound)
            if let error = outcome(of: page..<next) { throw error }
            page = next
        }
    }

    /// How long all that is dirty is tried a last time, milliseconds.
    private static let lastEffort = 10_000

    /// Tries all that is dirty a last time, each page alone if it must be, for ten seconds at the most, so that only
    /// what really cannot be written is lost at the end. One failure does not stop the rest.
    func writeOutAtLast() {
        let ledger = context.map.ledger
        let epoch = ledger.endEpoch()
        let end = Writeback.milliseconds + PageMapper.lastEffort
        var keys = InlineArray<64, UInt64>(repeating: 0)
        var span = keys.mutableSpan
        span.withUnsafeMutableBufferPointer { keys in
            while Writeback.milliseconds < end {
                let count = ledger.oldestDirty(upTo: epoch, into: keys)
                if count == 0 { return }
                let found = UnsafeBufferPointer(rebasing: keys[..<count])
                _ = writeOut(leaves: found, .last(until: end))
                // What others are writing out is still found.
                for key in found { waitForWriteback(ofLeaf: key) }
            }
        }
    }

    /// Waits until none of `pages`, which lie in one leaf, is being written out.
    /// - Returns: Why some of them could not be, by whomever, or nil. Looked at in the same moment as the end of the
    ///   wait, because what has failed may be on its way out once more in the next.
    private func outcome(of pages: Range<UInt64>) -> AccessError? {
        let shard = context.map.shard(of: pages.lowerBound)
        shard.lock()
        defer { shard.unlock() }
        let bits = Leaf.bits(Int(pages.lowerBound & 7)..<Int((pages.upperBound - 1) & 7) + 1)
        waitForWriteback(of: bits, ofLeafOf: pages.lowerBound, on: shard)
        guard let leaf = context.map.leaf(of: pages.lowerBound), leaf.pointee.status.hasFailed else { return nil }
        return leaf.pointee.dirty & bits == 0 ? nil : context.map.ledger.error
    }

    /// Waits until no page of the leaf is being written out.
    func waitForWriteback(ofLeaf key: UInt64) {
        let page = Leaf.firstPage(ofKey: key)
        let shard = context.map.shard(of: page)
        shard.lock()
        waitForWriteback(of: UInt8.max, ofLeafOf: page, on: shard)
        shard.unlock()
    }

    /// The same for the pages in `bits` of the leaf that `page` lies in. The shard's lock is held.
    private func waitForWriteback(of bits: UInt8, ofLeafOf page: UInt64, on shard: UnsafeMutablePointer<Shard>) {
        while let leaf = context.map.leaf(of: page), leaf.pointee.writing & bits != 0 {
            let index = (leaf.pointee.writing & bits).trailingZeroBitCount
            context.waitUntilReleased(leaf.pointee.flexpages[index], on: shard)
        }
    }

    /// Marks durable what had been written out before sync `number`, a good one, began. O(leaves marked).
    func markDurable(bySync number: UInt32) {
        while let key = context.map.ledger.firstUnsynced(beforeSync: number) {
            let page = Leaf.firstPage(ofKey: key)
            let shard = context.map.shard(of: page)
            shard.lock()
            if let leaf = context.map.leaf(of: page),
                context.map.ledger.markDurable(context.map.id(of: leaf), bySync: number)
            {
                context.map.ledger.countUnsynced(-leaf.pointee.unsynced.nonzeroBitCount)
                leaf.pointee.unsynced = 0
                context.map.updateStates(of: page..<page + UInt64(Leaf.pages))
            }
            shard.unlock()
        }
        context.waiters.wake()
    }

    /// Makes everything dirty again that has been written out and is not known to be durable, after a failed sync.
    /// O(buckets + leaves).
    func dirtyUnsyncedAgain() {
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            context.map.forEachLeaf(inShard: index) { id, leaf in
                guard leaf.image == context.map.image, leaf.pointee.unsynced != 0 else { return }
                dirtyAgain(id, leaf)
            }
            shard.unlock()
        }
    }

    /// Makes the leaf's unsynced pages dirty again. Where too little memory would be left for reads they count as lost
    /// instead, as if they had been recycled. The shard's lock is held.
    private func dirtyAgain(_ id: LeafID, _ leaf: UnsafeMutablePointer<Leaf>) {
        let ledger = context.map.ledger
        // What is going out meanwhile is looked after by who writes it out.
        let again = leaf.pointee.unsynced & ~leaf.pointee.writing
        let newly = again & ~leaf.pointee.dirty
        ledger.countUnsynced(-again.nonzeroBitCount)
        leaf.pointee.unsynced &= ~again
        if context.dirtyLimit.pages + newly.nonzeroBitCount > pages.memory.metadata.frames * 15 / 16 {
            ledger.countAtRisk()
            ledger.pagesDropped(id)
        } else {
            leaf.pointee.dirty |= again
            context.dirtyLimit.add(newly.nonzeroBitCount)
            if leaf.pointee.status.list == .unsynced { ledger.dirtiedAgain(id) }
        }
        context.map.updateStates(of: leaf.firstPage..<leaf.firstPage + UInt64(Leaf.pages))
    }
}
