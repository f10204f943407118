import Synchronization

/// A populated, size-aligned piece of an image: its offset, its size and, by its place in the FlexpageTable, its
/// Region.
///
/// A flexpage is known by the number of its Region's first frame (a FlexpageID), so that a record a frame is enough for
/// any mix of sizes, and a Region is found from its flexpage by arithmetic. What a hit needs of it is not here but in
/// its FlexpageWord.
///
/// Who may touch what: `key` and `order` are written before the flexpage is published in the AccessMap and stay until
/// it has been taken out. The queue's links are the PageQueue's, under its lock.
struct Flexpage: ~Copyable {
    /// The image and the number of its first base page.
    var key: PageKey
    var previous: FlexpageID
    var next: FlexpageID
    var order: UInt8
    /// The queue it is on; `.none` of a frame with which no queued flexpage begins. Under the PageQueue's lock.
    var queue: PageQueue.Name
}

// Asked of the pointer, because asking the record would read the whole of it, the queue's links too.
extension UnsafeMutablePointer<Flexpage> {
    /// Base pages in it.
    @inline(__always)
    var pages: UInt64 { 1 &<< UInt64(pointee.order) }

    /// The base pages it covers.
    @inline(__always)
    var covered: Range<UInt64> { pointee.key.page..<(pointee.key.page &+ pages) }
}

/// The number of a flexpage's first frame.
typealias FlexpageID = UInt32

extension FlexpageID {
    /// No flexpage.
    static let none = UInt32.max
}

/// A base page of one of the images that share the Memory: 16 bits of image, 48 bits of base page.
struct PageKey: Equatable {
    let raw: UInt64

    /// The largest image whose base pages have numbers that fit, bytes.
    static let maxImageSize: Int64 = 1 << 60

    /// - Precondition: `page` < 2⁴⁸, which images of at most 2⁶⁰ bytes keep.
    @inline(__always)
    init(image: UInt16, page: UInt64) {
        raw = UInt64(image) &<< 48 | page
    }

    @inline(__always)
    var image: UInt16 { UInt16(truncatingIfNeeded: raw &>> 48) }
    @inline(__always)
    var page: UInt64 { raw & 0xFFFF_FFFF_FFFF }
}

/// The flexpages of all images, and the memory they name: pointers into the Memory, cheap to copy.
struct FlexpageTable: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Flexpage>
    private let words: UnsafeMutablePointer<FlexpageWord>
    private let frames: UnsafeMutableRawPointer
    /// Which of the base pages the image has refused.
    let badPages: BadPages

    init(_ memory: borrowing Memory) {
        base = memory.metadata.flexpages
        words = memory.metadata.words
        frames = memory.base
        badPages = BadPages(memory.metadata)
    }

    @inline(__always)
    subscript(id: FlexpageID) -> UnsafeMutablePointer<Flexpage> { base + Int(id) }

    /// What a hit needs of flexpage `id`.
    @inline(__always)
    func word(_ id: FlexpageID) -> UnsafeMutablePointer<FlexpageWord> { words + Int(id) }

    @inline(__always)
    func region(of id: FlexpageID) -> Region { Region(first: id, order: base[Int(id)].order) }

    /// The memory of the flexpage's first base page.
    @inline(__always)
    func memory(of id: FlexpageID) -> UnsafeMutableRawPointer { frames + Int(id) &<< BasePage.shift }

    /// The frame that has base page `page` of flexpage `id`.
    @inline(__always)
    func frame(of page: UInt64, in id: FlexpageID) -> FlexpageID {
        id + FlexpageID(truncatingIfNeeded: page - self[id].pointee.key.page)
    }

    /// Makes a flexpage of `region`, which is the caller's: nobody else knows of it, and it is on no queue.
    func make(_ region: Region, key: PageKey, state: UInt32) -> FlexpageID {
        let flexpage = self[region.first]
        flexpage.pointee.key = key
        flexpage.pointee.order = region.order
        // Only the PageQueue writes that, because it looks at frames that are anybody's.
        assert(flexpage.pointee.queue == .none, "what is made is on no queue")
        let word = word(region.first)
        word.pointee.position.store(QueuePosition(at: 0, order: region.order).raw, ordering: .relaxed)
        word.pointee.state.store(state, ordering: .relaxed)
        return region.first
    }
}
