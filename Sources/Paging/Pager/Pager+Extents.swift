/// Block status.
extension Pager {
    /// The number of base pages whose state is noted at once: 256 MiB of image in 8 KiB of stack.
    private static let windowPages: UInt64 = 65536

    /// Reports the extents of `range`, clipped to it, in ascending order and without gaps. It ends with the range, or
    /// when `report` returns false.
    ///
    /// What the cache knows is noted first, and the image is asked second: a page that was dirty when noted is data. So
    /// a page that is written out in between is not called a hole.
    /// - Throws: EINVAL if the range is not inside the image; the Accessor's error.
    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        try check(range.lowerBound, range.count)
        guard provider.ledger.dirtyLeaves > 0 else {
            LockRank.assertNoneHeld()
            try provider.countingCall { () throws(AccessError) in
                try provider.accessor.extents(of: range, report)
            }
            return
        }
        var window = range
        var goesOn = true
        while goesOn, !window.isEmpty {
            let first = BasePage.number(of: window.lowerBound)
            let end = min(BasePage.offset(of: Leaf.around(first).lowerBound + Pager.windowPages), range.upperBound)
            let dirty = DirtyPages(provider.mapper.context.map, window.lowerBound..<end)
            LockRank.assertNoneHeld()
            try provider.countingCall { () throws(AccessError) in
                try provider.accessor.extents(of: window.lowerBound..<end) { extent in
                    goesOn = dirty.overlay(extent, report)
                    return goesOn
                }
            }
            window = end..<range.upperBound
        }
    }

    /// The base pages of a window that were newer than the image when this was made.
    private struct DirtyPages: ~Copyable {
        private var bits = InlineArray<1024, UInt64>(repeating: 0)
        private let first: UInt64

        /// O(leaves of the window).
        init(_ map: AccessMap, _ window: Range<Int64>) {
            let pages = BasePage.numbers(covering: window)
            first = Leaf.around(pages.lowerBound).lowerBound
            for part in (first..<pages.upperBound).chunkParts {
                let chunk = map.chunk(of: part.lowerBound).lock()
                for leafPart in part.leafParts {
                    guard let leaf = map.leaf(of: leafPart.lowerBound, in: chunk) else { continue }
                    let position = Int(leaf.firstPage - first)
                    let newer = UInt64(leaf.pointee.dirty | leaf.pointee.writing)
                    bits[position >> 6] |= newer << UInt64(position & 63)
                }
                chunk.unlock()
            }
        }

        private func isDirty(_ page: UInt64) -> Bool {
            let position = Int(page - first)
            return bits[position >> 6] & (1 << UInt64(position & 63)) != 0
        }

        /// Reports the extent, and each dirty part of it as an extent of data.
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
