/// The parts of a range of base pages, in ascending order, each as far as it lies in one block. Blocks are leaves or
/// chunks.
struct PageParts: Sequence, IteratorProtocol {
    private var left: Range<UInt64>
    /// The number of the last page of the first block.
    private let last: UInt64

    /// - Parameter block: Base pages in a block, a power of two.
    @inline(__always)
    init(of pages: Range<UInt64>, block: Int) {
        assert(block > 0 && block & (block - 1) == 0, "blocks are aligned to their size")
        left = pages
        last = UInt64(block &- 1)
    }

    @inline(__always)
    mutating func next() -> Range<UInt64>? {
        guard left.lowerBound < left.upperBound else { return nil }
        let end = Swift.min((left.lowerBound | last) &+ 1, left.upperBound)
        // It begins before it ends: the check of that would cost more than the rest.
        let part = Range(uncheckedBounds: (left.lowerBound, end))
        left = Range(uncheckedBounds: (end, left.upperBound))
        return part
    }
}
