/// A chunk: the part of an image that one lock of the AccessMap covers.
enum Chunk {
    /// Base pages in a chunk.
    static let pages = 256
    /// Bytes in a chunk.
    static let size = Int64(pages * BasePage.size)

    /// The base pages of the chunk that `page` lies in.
    @inline(__always)
    static func around(_ page: UInt64) -> Range<UInt64> {
        let first = page & ~UInt64(pages &- 1)
        return first..<first &+ UInt64(pages)
    }

    /// The part of `range`, which is not empty, from its beginning to the end of the chunk that it begins in.
    @inline(__always)
    static func first(of range: Range<Int64>) -> Range<Int64> {
        let end = (range.lowerBound & ~(size &- 1)) &+ size
        return range.lowerBound..<min(end, range.upperBound)
    }
}
