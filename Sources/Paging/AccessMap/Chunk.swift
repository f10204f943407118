/// A chunk: the part of an image that one lock of the AccessMap covers.
enum Chunk {
    /// The binary logarithm of `pages`.
    static let shift: UInt64 = 8
    /// Base pages in a chunk.
    static let pages = 256
    /// Bytes in a chunk.
    static let size = Int64(pages * BasePage.size)

    /// The base pages of the chunk that `page` lies in.
    @inline(__always)
    static func around(_ page: UInt64) -> Range<UInt64> {
        let first = firstPage(of: page)
        return first..<first &+ UInt64(pages)
    }

    /// The first base page of the chunk that `page` lies in.
    @inline(__always)
    static func firstPage(of page: UInt64) -> UInt64 { page & ~UInt64(pages &- 1) }

    /// The number of `page` in its chunk.
    @inline(__always)
    static func index(of page: UInt64) -> Int { Int(truncatingIfNeeded: page & UInt64(pages &- 1)) }

    /// The part of `range`, which is not empty, from its beginning to the end of the chunk that it begins in.
    @inline(__always)
    static func first(of range: Range<Int64>) -> Range<Int64> {
        assert(!range.isEmpty, "only a range that is not empty begins in a chunk")
        let end = (range.lowerBound & ~(size &- 1)) &+ size
        return range.lowerBound..<min(end, range.upperBound)
    }
}
