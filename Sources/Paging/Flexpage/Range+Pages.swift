// The arithmetic of ranges, of base pages and of bytes. That of single numbers is in BasePage, Leaf and Chunk.

extension Range<UInt64> {
    /// The parts of these base pages, each in one leaf.
    @inline(__always)
    var leafParts: PageParts { PageParts(of: self, block: Leaf.pages) }

    /// The parts of these base pages, each in one chunk.
    @inline(__always)
    var chunkParts: PageParts { PageParts(of: self, block: Chunk.pages) }

    /// Whether they lie in one chunk. No page does.
    @inline(__always)
    var isInOneChunk: Bool {
        isEmpty || lowerBound &>> Chunk.shift == (upperBound &- 1) &>> Chunk.shift
    }

    /// Whether all of `other` lies in it.
    @inline(__always)
    func contains(_ other: Range<UInt64>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }

    /// The bytes of these base pages, as far as an image of `size` bytes has them.
    func bytes(ofImage size: Int64) -> Range<Int64> {
        BasePage.offset(of: lowerBound)..<Swift.min(BasePage.offset(of: upperBound), size)
    }
}

extension Range<Int64> {
    /// Whether these bytes begin with a base page.
    @inline(__always)
    var startsWithPage: Bool { lowerBound == BasePage.offset(of: BasePage.number(of: lowerBound)) }

    /// Whether these bytes end with a base page. In an image of `size` bytes the last one ends where the image does.
    @inline(__always)
    func endsWithPage(ofImage size: Int64) -> Bool {
        upperBound == size || upperBound == BasePage.offset(of: BasePage.number(of: upperBound))
    }

    /// The base pages that lie wholly in these bytes of an image of `size` bytes. Its last one does if all that there
    /// is of it does.
    func wholePages(ofImage size: Int64) -> Range<UInt64> {
        guard !isEmpty else { return 0..<0 }
        let touched = BasePage.numbers(covering: self)
        let first = startsWithPage ? touched.lowerBound : touched.lowerBound + 1
        let last = endsWithPage(ofImage: size) ? touched.upperBound : touched.upperBound - 1
        return first..<Swift.max(first, last)
    }
}
