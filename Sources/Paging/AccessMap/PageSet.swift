/// A set of base pages of one chunk: up to 256, in 32 bytes.
///
/// Pages are named by their numbers in the image. Which chunk they are of, the caller knows. All of it is O(1): some
/// operations on four words.
struct PageSet {
    private static let wordShift: UInt64 = 6
    /// Pages in a word.
    private static let wordPages: UInt64 = 1 << wordShift
    private static let wordCount = Chunk.pages / Int(wordPages)

    private var words = InlineArray<4, UInt64>(repeating: 0)

    /// No page.
    @inline(__always)
    init() {}

    /// The pages of `pages`, a range in one chunk.
    init(_ pages: Range<UInt64>) {
        assert(pages.isInOneChunk, "a set has pages of one chunk")
        for index in 0..<PageSet.wordCount { words[index] = PageSet.mask(pages, index) }
    }

    /// The bits of `pages` in word `index`.
    @inline(__always)
    private static func mask(_ pages: Range<UInt64>, _ index: Int) -> UInt64 {
        guard !pages.isEmpty else { return 0 }
        let first = Chunk.index(of: pages.lowerBound) - index &* Int(wordPages)
        let (begin, end) = (max(0, first), min(Int(wordPages), first + pages.count))
        return begin < end ? (UInt64.max >> UInt64(Int(wordPages) - (end - begin))) << UInt64(begin) : 0
    }

    /// The word that `page` is in.
    @inline(__always)
    private static func word(of page: UInt64) -> Int { Chunk.index(of: page) &>> Int(wordShift) }

    /// The bit of `page` in its word.
    @inline(__always)
    private static func bit(of page: UInt64) -> UInt64 { 1 &<< page }

    @inline(__always)
    func contains(_ page: UInt64) -> Bool { words[PageSet.word(of: page)] & PageSet.bit(of: page) != 0 }

    @inline(__always)
    mutating func insert(_ page: UInt64) { words[PageSet.word(of: page)] |= PageSet.bit(of: page) }

    @inline(__always)
    mutating func remove(_ page: UInt64) { words[PageSet.word(of: page)] &= ~PageSet.bit(of: page) }

    mutating func formUnion(_ other: PageSet) {
        for index in 0..<PageSet.wordCount { words[index] |= other.words[index] }
    }

    mutating func formIntersection(_ other: PageSet) {
        for index in 0..<PageSet.wordCount { words[index] &= other.words[index] }
    }

    mutating func subtract(_ other: PageSet) {
        for index in 0..<PageSet.wordCount { words[index] &= ~other.words[index] }
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
        assert(pages.isInOneChunk, "a set has pages of one chunk")
        var count = 0
        for index in 0..<PageSet.wordCount { count += (words[index] & PageSet.mask(pages, index)).nonzeroBitCount }
        return count
    }

    /// The end of the run of pages, beginning with `page`, that are not in it: `page` itself if that is in it. It is
    /// never past `limit`, which is in the same chunk or its end.
    func end(ofGapFrom page: UInt64, upTo limit: UInt64) -> UInt64 { inverse.end(ofRunFrom: page, upTo: limit) }

    private var inverse: PageSet {
        var inverse = self
        for index in 0..<PageSet.wordCount { inverse.words[index] = ~words[index] }
        return inverse
    }

    /// The end of the run of pages, beginning with `page`, that are in it: `page` itself if that is not in it. It is
    /// never past `limit`, which is in the same chunk or its end.
    func end(ofRunFrom page: UInt64, upTo limit: UInt64) -> UInt64 {
        var end = page
        while end < limit {
            let position = end & (PageSet.wordPages - 1)
            let run = UInt64((~(words[PageSet.word(of: end)] >> position)).trailingZeroBitCount)
            if run < PageSet.wordPages - position { return min(end + run, limit) }
            end += PageSet.wordPages - position
        }
        return min(end, limit)
    }
}
