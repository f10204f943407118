import Synchronization

/// The flexpages of all images, and the memory that they name: pointers into the Memory, cheap to copy.
struct FlexpageTable: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Flexpage>
    private let words: UnsafeMutablePointer<FlexpageWord>
    private let frames: UnsafeMutableRawPointer
    /// The base pages that the image has refused to take.
    let badPages: BadPages
    /// What the next server finds, or nil.
    let kept: KeptState?

    init(_ memory: borrowing Memory) {
        base = memory.metadata.flexpages
        words = memory.metadata.words
        frames = memory.base
        badPages = BadPages(memory.metadata)
        kept = memory.kept
    }

    /// A table of flexpages that have no memory: a Miniature's.
    init(_ base: UnsafeMutablePointer<Flexpage>, _ words: UnsafeMutablePointer<FlexpageWord>) {
        self.base = base
        self.words = words
        frames = UnsafeMutableRawPointer(base)
        badPages = BadPages(UnsafeMutablePointer(bitPattern: BasePage.size)!)
        kept = nil
    }

    @inline(__always)
    subscript(id: FlexpageID) -> UnsafeMutablePointer<Flexpage> { base + Int(id) }

    /// What a hit needs of flexpage `id`.
    @inline(__always)
    func word(_ id: FlexpageID) -> UnsafeMutablePointer<FlexpageWord> { words + Int(id) }

    /// What is being done with flexpage `id`.
    @inline(__always)
    func state(of id: FlexpageID) -> PageState { PageState(word(id).pointee.state.load(ordering: .acquiring)) }

    @inline(__always)
    func region(of id: FlexpageID) -> Region { Region(first: id, order: base[Int(id)].order) }

    /// The memory of the flexpage's first base page.
    @inline(__always)
    func memory(of id: FlexpageID) -> UnsafeMutableRawPointer { frames + Int(id) &<< Int(BasePage.shift) }

    /// The next server finds what flexpage `id` holds, which has been read, or written to the image and is owed until
    /// it is durable.
    func keep(_ id: FlexpageID, isOwed: Bool = false) {
        kept?.publish(region(of: id), self[id].pointee.key, isOwed: isOwed)
    }

    /// Copies `source`, or zeroes, to `part` of a flexpage that the caller has latched. If something is kept, the next
    /// server finds in each sector the old bytes or the new ones.
    /// - Parameter offset: The offset of `part` in the image.
    @inline(__always)
    func write(_ part: UnsafeMutableRawBufferPointer, from source: UnsafeRawPointer?, image: UInt16, at offset: Int64) {
        guard kept != nil else {
            KeptState.copy(to: part.baseAddress!, from: source, count: part.count)
            return
        }
        writeKept(part, from: source, image: image, at: offset)
    }

    @inline(never)
    private func writeKept(
        _ part: UnsafeMutableRawBufferPointer, from source: UnsafeRawPointer?, image: UInt16, at offset: Int64
    ) {
        var done = 0
        while done < part.count {
            let page = BasePage.number(of: offset + Int64(done))
            let count = min(part.count - done, Int(BasePage.offset(of: page + 1) - offset) - done)
            kept?.write(
                PageKey(image: image, page: page), to: part.baseAddress! + done, from: source.map { $0 + done },
                count: count)
            done += count
        }
    }

    /// The frame that holds base page `page` of flexpage `id`.
    @inline(__always)
    func frame(of page: UInt64, in id: FlexpageID) -> FlexpageID {
        assert(self[id].covered.contains(page), "a flexpage has frames for its own pages")
        return id + FlexpageID(truncatingIfNeeded: page - self[id].pointee.key.page)
    }

    /// Makes a flexpage of `region`, which belongs to the caller: nobody else knows of it, and it is on no queue.
    func make(_ region: Region, key: PageKey, state: UInt32) -> FlexpageID {
        let flexpage = self[region.first]
        flexpage.pointee.key = key
        flexpage.pointee.order = region.order
        // Only the PageQueue writes `queue`, because it looks at frames in any state.
        assert(flexpage.pointee.queue == .none, "what is made is on no queue")
        let word = word(region.first)
        word.pointee.position.store(QueuePosition(at: 0, order: region.order).raw, ordering: .relaxed)
        word.pointee.state.store(state, ordering: .relaxed)
        return region.first
    }
}
