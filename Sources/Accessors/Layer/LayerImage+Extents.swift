import Glibc
import Paging

extension LayerImage {
    /// The maximum length that a layer is asked about at once, bytes.
    private static let maxQuestion: Int64 = 1 << 30

    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        guard range.lowerBound >= 0, range.upperBound <= size else { throw AccessError(EINVAL) }
        guard properties.knowsExtents else {
            if !range.isEmpty { _ = report(Extent(range, .data)) }
            return
        }
        var position = range.lowerBound
        var isWanted = true
        while isWanted, position < range.upperBound {
            let before = position
            let blocks = blocks(around: position..<min(position + LayerImage.maxQuestion, range.upperBound))
            // A call that is made again has reported nothing.
            try pool.perform { context throws(AccessError) in
                try context.extents(of: blocks) { extent in
                    let part = extent.range.clamped(to: position..<range.upperBound)
                    guard !part.isEmpty else { return true }
                    // What the layer may have forgotten is in memory, and no hole. It may go away in this very call.
                    isWanted = report(Extent(part, pool.isAnythingForgotten ? .data : extent.kind))
                    position = part.upperBound
                    return isWanted
                }
            }
            // A layer that says nothing may have anything.
            if position == before {
                position = min(blocks.upperBound, range.upperBound)
                isWanted = report(Extent(before..<position, .data))
            }
        }
    }
}
