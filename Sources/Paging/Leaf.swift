/// A record of the AccessMap: eight base pages of one image, which flexpage covers each, and which are dirty.
///
/// One cache line, so that looking a page up costs one miss. A leaf exists while at least one of its base pages is
/// covered by a flexpage, hence there are never more leaves than frames. All of it is under the lock of its chunk.
struct Leaf {
    /// Its image, and the number of its first base page divided by `pages`.
    var key: UInt64
    /// The next leaf of the same bucket, or of the free list.
    var next: LeafID
    /// The flexpage that covers each base page, or `.none`.
    var flexpages: InlineArray<8, FlexpageID>
    /// One bit a base page: newer than the image, and not being written out.
    var dirty: UInt8
    /// One bit a base page: on its way out.
    var writing: UInt8
    /// One bit a base page: written out since the image was last made durable.
    var unsynced: UInt8
    /// Which list of its image's Ledger it is on, and the two bits about failed write-outs.
    private var mark: UInt8
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
        mark = 0
        previousOnList = .none
        nextOnList = .none
        epoch = 0
        dirtyEpoch = 0
    }

    /// Whether no flexpage is in it. O(1).
    var isEmpty: Bool {
        for index in flexpages.indices where flexpages[index] != FlexpageID.none { return false }
        return true
    }

    /// The lists of a Ledger.
    enum List: UInt8 {
        case none = 0
        case dirty
        case unsynced
    }

    /// The list of its image's Ledger that it is on.
    var list: List {
        get { List(rawValue: mark & 0x3F)! }
        set { mark = mark & 0xC0 | newValue.rawValue }
    }

    /// Whether pages whose write-out failed may be among `dirty`, not being tried again.
    var keepsFailed: Bool {
        get { mark & 0x40 != 0 }
        set { mark = newValue ? mark | 0x40 : mark & ~0x40 }
    }

    /// Whether a write-out of it failed, and what failed is not out yet.
    var hasFailed: Bool {
        get { mark & 0x80 != 0 }
        set { mark = newValue ? mark | 0x80 : mark & 0x7F }
    }

    var image: UInt16 { UInt16(truncatingIfNeeded: key &>> 48) }
    /// Its first base page.
    var firstPage: UInt64 { Leaf.firstPage(ofKey: key) }

    /// The first base page of the leaf with this key.
    static func firstPage(ofKey key: UInt64) -> UInt64 { (key & 0xFFFF_FFFF_FFFF) &<< 3 }
}

/// The number of a leaf in the LeafTable.
struct LeafID: Equatable {
    let raw: UInt32
    /// No leaf. Zero, so that fresh memory is an empty table.
    static let none = LeafID(raw: 0)
}
