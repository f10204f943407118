extension Range<Int64> {
    /// The part of the range of bytes that begins and ends where blocks do. The end of an image is the end of a block.
    /// If there is none, an empty range at the beginning.
    /// - Parameter block: Bytes.
    /// - Parameter size: Bytes in the image.
    func wholeBlocks(of block: Int64, ofImage size: Int64) -> Range<Int64> {
        let lower = (lowerBound + block - 1) / block * block
        let upper = upperBound == size ? size : upperBound / block * block
        return lower < upper ? lower..<upper : lowerBound..<lowerBound
    }
}
