import Synchronization

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
