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
        for part in pages.leafParts { batch.writeOut(leafOf: part.lowerBound, in: pages) }
        batch.finish()
        if let error = batch.error { throw error }
        for part in pages.leafParts {
            if let error = outcome(of: part) { throw error }
        }
    }

    /// The time limit of the last attempt, milliseconds.
    private static let lastEffort = 10_000

    /// Tries all that is dirty a last time, each page alone if necessary, for at most ten seconds. So only what really
    /// cannot be written is lost at the end. One failure does not stop the rest.
    func writeOutAtLast() {
        let ledger = context.map.ledger
        let epoch = ledger.endEpoch()
        let end = MonotonicClock.milliseconds + PageMapper.lastEffort
        var keys = InlineArray<64, UInt64>(repeating: 0)
        var span = keys.mutableSpan
        span.withUnsafeMutableBufferPointer { keys in
            while MonotonicClock.milliseconds < end {
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
        context.map.chunk(of: pages.lowerBound).withLock { chunk in
            let bits = Leaf.bits(of: pages)
            waitForWriteback(of: bits, ofLeafOf: pages.lowerBound, in: chunk)
            guard let leaf = context.map.leaf(of: pages.lowerBound, in: chunk), leaf.pointee.status.hasFailed else {
                return nil
            }
            return leaf.pointee.dirty & bits == 0 ? nil : context.map.ledger.error
        }
    }

    /// Waits until no page of the leaf is being written out.
    func waitForWriteback(ofLeaf key: UInt64) {
        let page = Leaf.firstPage(ofKey: key)
        context.map.chunk(of: page).withLock { chunk in waitForWriteback(of: UInt8.max, ofLeafOf: page, in: chunk) }
    }

    /// Waits until none of the pages in `bits`, of the leaf that `page` lies in, is being written out.
    private func waitForWriteback(of bits: UInt8, ofLeafOf page: UInt64, in chunk: borrowing LockedChunk) {
        while let leaf = context.map.leaf(of: page, in: chunk), leaf.pointee.writing & bits != 0 {
            let index = (leaf.pointee.writing & bits).trailingZeroBitCount
            context.waitUntilReleased(leaf.pointee.flexpages[index], in: chunk)
        }
    }
}
