/// Base pages of one chunk that were resident once, and how warm each was: what one thread warms at a time.
///
/// Warmth has four bits, and each bit is a set of the pages that have it. So it takes 160 bytes, whatever is in it.
struct WarmPages {
    private(set) var all = PageSet()
    private var bits = InlineArray<4, PageSet>(repeating: PageSet())

    /// Adds pages of the same chunk. One that is in it gets the bits of both. O(1).
    mutating func insert(_ pages: Range<UInt64>, warmth: UInt8) {
        let set = PageSet(pages)
        all.formUnion(set)
        for bit in 0..<4 where warmth >> UInt8(bit) & 1 != 0 { bits[bit].formUnion(set) }
    }

    /// The warmth of the warmest of `pages`: as a flexpage they stay as long as that one. O(1): 16 looks at most.
    func warmth(of pages: Range<UInt64>) -> UInt8 {
        var warmest = PageSet(pages)
        var warmth: UInt8 = 0
        for bit in (0..<4).reversed() {
            var set = bits[bit]
            set.formIntersection(warmest)
            if !set.isEmpty { (warmest, warmth) = (set, warmth | 1 << UInt8(bit)) }
        }
        return warmth
    }
}
