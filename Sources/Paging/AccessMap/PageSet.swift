/// Base pages of one chunk: a set of up to 256, 32 bytes.
///
/// Pages are named by their numbers in the image; which chunk is meant is the user's to know. All of it is O(1): some
/// operations on four words.
struct PageSet {
    private var words = InlineArray<4, UInt64>(repeating: 0)

    /// No page.
    @inline(__always)
    init() {}

    /// The pages of `pages`, a range in one chunk.
    init(_ pages: Range<UInt64>) {
        for index in 0..<4 { words[index] = PageSet.mask(pages, index) }
    }

    /// The bits of `pages` in word `index`.
    @inline(__always)
    private static func mask(_ pages: Range<UInt64>, _ index: Int) -> UInt64 {
        guard !pages.isEmpty else { return 0 }
        let first = Int(pages.lowerBound & UInt64(Chunk.pages - 1)) - index &* 64
        let (begin, end) = (max(0, first), min(64, first + pages.count))
        return begin < end ? (UInt64.max >> UInt64(64 - (end - begin))) << UInt64(begin) : 0
    }

    @inline(__always)
    func contains(_ page: UInt64) -> Bool {
        words[Int(page >> 6 & 3)] & 1 << (page & 63) != 0
    }

    @inline(__always)
    mutating func insert(_ page: UInt64) { words[Int(page >> 6 & 3)] |= 1 << (page & 63) }

    @inline(__always)
    mutating func remove(_ page: UInt64) { words[Int(page >> 6 & 3)] &= ~(1 << (page & 63)) }

    mutating func formUnion(_ other: PageSet) {
        for index in 0..<4 { words[index] |= other.words[index] }
    }

    mutating func formIntersection(_ other: PageSet) {
        for index in 0..<4 { words[index] &= other.words[index] }
    }

    mutating func subtract(_ other: PageSet) {
        for index in 0..<4 { words[index] &= ~other.words[index] }
    }

    func subtracting(_ other: PageSet) -> PageSet {
        var left = self
        left.subtract(other)
        return left
    }

    @inline(__always)
    var isEmpty: Bool { words[0] | words[1] | words[2] | words[3] == 0 }

    /// How many pages are in it.
    var count: Int {
        words[0].nonzeroBitCount + words[1].nonzeroBitCount + words[2].nonzeroBitCount + words[3].nonzeroBitCount
    }

    /// How many of `pages`, a range in one chunk, are in it.
    func count(in pages: Range<UInt64>) -> Int {
        var count = 0
        for index in 0..<4 { count += (words[index] & PageSet.mask(pages, index)).nonzeroBitCount }
        return count
    }

    /// The end of the run of pages that are not in it and that begins with `page`: `page` itself where that is in it,
    /// and never past `limit`, which is in the same chunk or its end.
    func end(ofGapFrom page: UInt64, upTo limit: UInt64) -> UInt64 { inverse.end(ofRunFrom: page, upTo: limit) }

    private var inverse: PageSet {
        var inverse = self
        for index in 0..<4 { inverse.words[index] = ~words[index] }
        return inverse
    }

    /// The end of the run of pages in it that begins with `page`: `page` itself where that is not in it, and never past
    /// `limit`, which is in the same chunk or its end.
    func end(ofRunFrom page: UInt64, upTo limit: UInt64) -> UInt64 {
        var end = page
        while end < limit {
            let left = 64 - end & 63
            let run = UInt64((~(words[Int(end >> 6 & 3)] >> (end & 63))).trailingZeroBitCount)
            if run < left { return min(end + run, limit) }
            end += left
        }
        return min(end, limit)
    }
}
