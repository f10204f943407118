/// The way out: dirty pages to the Accessor.
extension PageMapper {
    /// Writes out what is dirty of the leaves, whose keys are in ascending order. One failure does not stop the rest.
    /// - Parameter passingOverReserved: Leave alone what a zero or trim has reserved, rather than wait for its end.
    /// - Parameter effort: What is done for pages that are known to be bad.
    /// - Returns: Whether something was left alone, and the first error.
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

    /// Writes out what is dirty of `pages`, and waits for what other threads are writing out of them. When it returns,
    /// what was written to the pages before the call is on the image. O(leaves of the range).
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

    /// The time limit of the last attempt, milliseconds.
    private static let lastEffort = 10_000

    /// Tries all that is dirty a last time, each page alone if necessary, for at most ten seconds. So only what really
    /// cannot be written is lost at the end. One failure does not stop the rest.
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
                // Leaves that other threads are writing out would be found again.
                for key in found { waitForWriteback(ofLeaf: key) }
            }
        }
    }

    /// Waits until none of `pages`, which lie in one leaf, is being written out.
    /// - Returns: Why some of them could not be written out, by any thread, or nil. This is read in the same critical
    ///   section as the end of the wait, because pages that failed may go out again right after it.
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

    /// Waits until none of the pages in `bits`, of the leaf that `page` lies in, is being written out. The shard's lock
    /// is held.
    private func waitForWriteback(of bits: UInt8, ofLeafOf page: UInt64, on shard: UnsafeMutablePointer<Shard>) {
        while let leaf = context.map.leaf(of: page), leaf.pointee.writing & bits != 0 {
            let index = (leaf.pointee.writing & bits).trailingZeroBitCount
            context.waitUntilReleased(leaf.pointee.flexpages[index], on: shard)
        }
    }
}
