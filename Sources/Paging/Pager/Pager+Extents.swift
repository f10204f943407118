/// Block status.
extension Pager {
    /// Base pages whose state is noted at once: 256 MiB of image in 8 KiB of stack.
    private static let windowPages: UInt64 = 65536

    /// Tells the extents of `range` in ascending order, touching one another, from its beginning on, clipped to it,
    /// until `report` returns false or the range ends.
    ///
    /// What the cache knows is noted first and the image is asked second, so that a page written out in between is not
    /// called a hole: dirty when noted is data.
    /// - Throws: EINVAL where the range is not inside the image; the Accessor's error.
    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        let range = try checked(range.lowerBound, range.count)
        guard provider.ledger.dirtyLeaves > 0 else {
            LockRank.assertNoneHeld()
            try provider.accessor.extents(of: range, report)
            return
        }
        var window = range
        var goesOn = true
        while goesOn, !window.isEmpty {
            let first = BasePage.number(of: window.lowerBound)
            let end = min(BasePage.offset(of: (first & ~7) + Pager.windowPages), range.upperBound)
            let dirty = DirtyPages(provider.mapper.context.map, window.lowerBound..<end)
            LockRank.assertNoneHeld()
            try provider.accessor.extents(of: window.lowerBound..<end) { extent in
                goesOn = dirty.overlay(extent, report)
                return goesOn
            }
            window = end..<range.upperBound
        }
    }

    /// Which base pages of a window were newer than the image when it was made.
    private struct DirtyPages: ~Copyable {
        private var bits = InlineArray<1024, UInt64>(repeating: 0)
        private let first: UInt64

        /// O(leaves of the window).
        init(_ map: AccessMap, _ window: Range<Int64>) {
            let pages = BasePage.numbers(covering: window)
            first = pages.lowerBound & ~7
            var page = first
            while page < pages.upperBound {
                let end = min((page | UInt64(Chunk.pages - 1)) + 1, pages.upperBound)
                let shard = map.shard(of: page)
                shard.lock()
                while page < end {
                    if let leaf = map.leaf(of: page) {
                        let position = Int(page - first)
                        let newer = UInt64(leaf.pointee.dirty | leaf.pointee.writing)
                        bits[position >> 6] |= newer << UInt64(position & 63)
                    }
                    page = (page | 7) + 1
                }
                shard.unlock()
            }
        }

        private func isDirty(_ page: UInt64) -> Bool {
            let position = Int(page - first)
            return bits[position >> 6] & (1 << UInt64(position & 63)) != 0
        }

        /// Reports the extent, with what is dirty in it as data of its own.
        /// - Returns: Whether to go on.
        func overlay(_ extent: Extent, _ report: (Extent) -> Bool) -> Bool {
            if extent.kind == .data { return report(extent) }
            var begin = extent.range.lowerBound
            while begin < extent.range.upperBound {
                let kind = isDirty(BasePage.number(of: begin))
                var page = BasePage.number(of: begin) + 1
                while BasePage.offset(of: page) < extent.range.upperBound, isDirty(page) == kind { page += 1 }
                let end = min(BasePage.offset(of: page), extent.range.upperBound)
                guard report(Extent(begin..<end, kind ? .data : extent.kind)) else { return false }
                begin = end
            }
            return true
        }
    }
}
