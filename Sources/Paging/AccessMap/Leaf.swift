/// A record of the AccessMap: eight base pages of one image, which flexpage covers each, and which are dirty.
///
/// One cache line, so that looking a page up costs one miss. A leaf exists while at least one of its base pages is
/// covered by a flexpage, hence there are never more leaves than frames. All of it is under the lock of its chunk, but
/// for the links of the Ledger's lists, which are under the Ledger's: so no code takes a leaf by value, not even to ask
/// it something.
struct Leaf {
    /// The next leaf of the same bucket, or of the free list.
    ///
    /// First, because changing any field in place counts as a change of the first byte to the thread sanitizer, and
    /// this field the Ledger, which has a lock of its own, does not look at.
    var next: LeafID
    /// One bit a base page: newer than the image, and not being written out.
    var dirty: UInt8
    /// One bit a base page: on its way out.
    var writing: UInt8
    /// One bit a base page: written out since the image was last made durable.
    var unsynced: UInt8
    /// Which list of its image's Ledger it is on, and the two bits about failed write-outs.
    var status: LeafStatus
    /// Its image, and the number of its first base page divided by `pages`.
    var key: UInt64
    /// The flexpage that covers each base page, or `.none`.
    var flexpages: InlineArray<8, FlexpageID>
    /// Neighbours on that list.
    var previousOnList: LeafID
    var nextOnList: LeafID
    /// On the dirty list the epoch that dirtied it first; on the unsynced list the syncs begun when it was written out.
    var epoch: UInt32
    /// The epoch that dirtied the oldest of `dirty`.
    var dirtyEpoch: UInt32

    /// Base pages in a leaf.
    static let pages = 8

    /// The key of the leaf that holds `page`.
    @inline(__always)
    static func key(of page: PageKey) -> UInt64 { UInt64(page.image) &<< 48 | page.page &>> 3 }

    /// The bits of the pages with these indices.
    @inline(__always)
    static func bits(_ indices: Range<Int>) -> UInt8 {
        UInt8(truncatingIfNeeded: (1 &<< indices.upperBound) &- (1 &<< indices.lowerBound))
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
    static func firstPage(ofKey key: UInt64) -> UInt64 { (key & 0xFFFF_FFFF_FFFF) &<< 3 }
}

extension UnsafeMutablePointer<Leaf> {
    /// Whether no flexpage is in it. O(1).
    var isEmpty: Bool {
        for index in 0..<Leaf.pages where pointee.flexpages[index] != FlexpageID.none { return false }
        return true
    }

    var image: UInt16 { UInt16(truncatingIfNeeded: pointee.key &>> 48) }
    /// Its first base page.
    var firstPage: UInt64 { Leaf.firstPage(ofKey: pointee.key) }
}
