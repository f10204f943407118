/// The way out: dirty pages to the Accessor.
extension PageMapper {
    /// Writes out what is dirty of the leaves, whose keys are in ascending order.
    /// - Returns: The first error; one failure does not stop the rest.
    func writeOut(leaves keys: UnsafeBufferPointer<UInt64>) -> AccessError? {
        var run = WriteRun(reach, accessor)
        for key in keys {
            let page = Leaf.firstPage(ofKey: key)
            run.writeOut(leafOf: page, in: page..<page + UInt64(Leaf.pages))
        }
        run.finish()
        return run.error
    }

    /// Writes out what is dirty of `pages` and waits for what others are writing out of them: what was written to them
    /// before the call is on the image then. O(leaves of the range).
    func writeOut(_ pages: Range<UInt64>) throws(AccessError) {
        var run = WriteRun(reach, accessor)
        var page = pages.lowerBound
        while page < pages.upperBound {
            run.writeOut(leafOf: page, in: pages)
            page = (page | 7) + 1
        }
        run.finish()
        if let error = run.error { throw error }
        page = pages.lowerBound
        while page < pages.upperBound {
            waitForWriteback(ofLeaf: Leaf.key(of: PageKey(image: reach.pointee.map.image, page: page)))
            page = (page | 7) + 1
        }
        if let error = failure(in: pages) { throw error }
    }

    /// Why some of `pages` could not be written out, by whomever, or nil if none is in that trouble.
    private func failure(in pages: Range<UInt64>) -> AccessError? {
        guard let error = reach.pointee.map.ledger.error else { return nil }
        var page = pages.lowerBound
        while page < pages.upperBound {
            let end = min((page | 7) + 1, pages.upperBound)
            let shard = reach.pointee.map.shard(of: page)
            shard.lock()
            var hasFailed = false
            reach.pointee.map.forEachLeaf(of: page..<end) { leaf, bits in
                hasFailed = leaf.pointee.mark.hasFailed && leaf.pointee.dirty & bits != 0
            }
            shard.unlock()
            if hasFailed { return error }
            page = end
        }
        return nil
    }

    /// Waits until no page of the leaf is being written out.
    func waitForWriteback(ofLeaf key: UInt64) {
        let page = Leaf.firstPage(ofKey: key)
        let shard = reach.pointee.map.shard(of: page)
        shard.lock()
        while let leaf = reach.pointee.map.leaf(of: page), leaf.pointee.writing != 0 {
            reach.pointee.waitUntilSettled(leaf.pointee.flexpages[leaf.pointee.writing.trailingZeroBitCount], on: shard)
        }
        shard.unlock()
    }

    /// Settles what had been written out before sync `number`, a good one, began. O(leaves settled).
    func settle(bySync number: UInt32) {
        while let key = reach.pointee.map.ledger.firstUnsynced(beforeSync: number) {
            let page = Leaf.firstPage(ofKey: key)
            let shard = reach.pointee.map.shard(of: page)
            shard.lock()
            if let leaf = reach.pointee.map.leaf(of: page),
                reach.pointee.map.ledger.settle(reach.pointee.map.id(of: leaf), bySync: number)
            {
                reach.pointee.map.ledger.countUnsynced(-leaf.pointee.unsynced.nonzeroBitCount)
                leaf.pointee.unsynced = 0
                reach.pointee.map.updateStates(of: page..<page + UInt64(Leaf.pages))
            }
            shard.unlock()
        }
        reach.pointee.waiters.wake()
    }

    /// Makes everything dirty again that has been written out and is not known to be durable, after a failed sync.
    /// O(buckets + leaves).
    func dirtyUnsyncedAgain() {
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            reach.pointee.map.forEachLeaf(inShard: index) { id, leaf in
                guard leaf.image == reach.pointee.map.image, leaf.pointee.unsynced != 0 else { return }
                dirtyAgain(id, leaf)
            }
            shard.unlock()
        }
    }

    /// Makes the leaf's unsynced pages dirty again. Where too little memory would be left for reads they count as lost
    /// instead, as if they had been recycled. The shard's lock is held.
    private func dirtyAgain(_ id: LeafID, _ leaf: UnsafeMutablePointer<Leaf>) {
        let ledger = reach.pointee.map.ledger
        // What is going out meanwhile is looked after by who writes it out.
        let again = leaf.pointee.unsynced & ~leaf.pointee.writing
        let newly = again & ~leaf.pointee.dirty
        ledger.countUnsynced(-again.nonzeroBitCount)
        leaf.pointee.unsynced &= ~again
        if reach.pointee.dirt.pages + newly.nonzeroBitCount > pages.memory.metadata.frames * 15 / 16 {
            ledger.countUnsettled()
            ledger.dropped(id)
        } else {
            leaf.pointee.dirty |= again
            reach.pointee.dirt.add(newly.nonzeroBitCount)
            if leaf.pointee.mark.list == .unsynced { ledger.dirtiedAgain(id) }
        }
        reach.pointee.map.updateStates(of: leaf.firstPage..<leaf.firstPage + UInt64(Leaf.pages))
    }
}
