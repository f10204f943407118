/// A record of the AccessMap: eight base pages of one image, which flexpage covers each, and which are dirty.
///
/// It is one cache line, so that a look-up costs one miss. A leaf exists while a flexpage covers at least one of its
/// base pages, hence there are never more leaves than frames.
///
/// Thread rules: all of it is under the lock of its chunk, but the links of the Ledger's lists are under the Ledger's
/// lock. So no code takes a leaf by value, not even to ask it something.
struct Leaf {
    /// The next leaf of the same bucket, or of the free list.
    ///
    /// It is the first field because the thread sanitizer takes a change of any field in place for a change of the
    /// first byte. The Ledger, which has a lock of its own, does not look at this one.
    var next: LeafID
    /// One bit a base page: newer than the image, and not being written out.
    var dirty: UInt8
    /// One bit a base page: on its way out.
    var writing: UInt8
    /// One bit a base page: written out since the image was last made durable.
    var unsynced: UInt8
    /// The list of its image's Ledger that it is on, and two bits about failed write-outs.
    var status: LeafStatus
    /// Its image, and the number of its first base page divided by `pages`.
    var key: UInt64
    /// The flexpage that covers each base page, or `.none`.
    var flexpages: InlineArray<8, FlexpageID>
    /// Neighbours on that list.
    var previousOnList: LeafID
    var nextOnList: LeafID
    /// On the dirty list, the epoch that dirtied it first. On the unsynced list, the number of syncs that had begun
    /// when it was written out.
    var epoch: UInt32
    /// The epoch that dirtied the oldest of `dirty`.
    var dirtyEpoch: UInt32

    /// The binary logarithm of `pages`.
    static let shift: UInt64 = 3
    /// Base pages in a leaf.
    static let pages = 8

    /// The key of the leaf that holds `page`.
    @inline(__always)
    static func key(of page: PageKey) -> UInt64 { UInt64(page.image) &<< PageKey.pageBits | page.page &>> shift }

    /// The number of `page` in its leaf.
    @inline(__always)
    static func index(of page: UInt64) -> Int { Int(truncatingIfNeeded: page & UInt64(pages &- 1)) }

    /// The numbers in their leaf of `part`, base pages of one leaf, not none.
    @inline(__always)
    static func indices(of part: Range<UInt64>) -> Range<Int> {
        assert(!part.isEmpty && part.lowerBound >> shift == (part.upperBound - 1) >> shift, "they lie in one leaf")
        return index(of: part.lowerBound)..<index(of: part.upperBound &- 1) &+ 1
    }

    /// The bit of `page` in its leaf.
    @inline(__always)
    static func bit(of page: UInt64) -> UInt8 { 1 &<< UInt8(truncatingIfNeeded: index(of: page)) }

    /// The bits of `part`, base pages of one leaf, not none.
    @inline(__always)
    static func bits(of part: Range<UInt64>) -> UInt8 { bits(indices(of: part)) }

    /// The bits of the pages with these indices.
    @inline(__always)
    static func bits(_ indices: Range<Int>) -> UInt8 {
        assert(indices.lowerBound >= 0 && indices.upperBound <= pages, "a leaf has eight pages")
        return UInt8(truncatingIfNeeded: (1 &<< indices.upperBound) &- (1 &<< indices.lowerBound))
    }

    /// The base pages of the leaf that `page` lies in.
    @inline(__always)
    static func around(_ page: UInt64) -> Range<UInt64> {
        let first = page & ~UInt64(pages &- 1)
        return first..<first &+ UInt64(pages)
    }

    /// A leaf with no flexpage in it.
    init(key: UInt64) {
        self.key = key
        next = .none
        flexpages = InlineArray(repeating: FlexpageID.none)
        dirty = 0
        writing = 0
        unsynced = 0
        status = LeafStatus()
        previousOnList = .none
        nextOnList = .none
        epoch = 0
        dirtyEpoch = 0
    }

    /// The first base page of the leaf with this key.
    static func firstPage(ofKey key: UInt64) -> UInt64 { (key & PageKey.pageMask) &<< shift }
}

extension UnsafeMutablePointer<Leaf> {
    /// Whether no flexpage is in it. O(1).
    var isEmpty: Bool {
        for index in 0..<Leaf.pages where pointee.flexpages[index] != FlexpageID.none { return false }
        return true
    }

    var image: UInt16 { UInt16(truncatingIfNeeded: pointee.key &>> PageKey.pageBits) }
    /// Its first base page.
    var firstPage: UInt64 { Leaf.firstPage(ofKey: pointee.key) }
    /// Its base pages.
    var pages: Range<UInt64> { firstPage..<firstPage + UInt64(Leaf.pages) }
}
