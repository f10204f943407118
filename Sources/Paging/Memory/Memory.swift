import Glibc

/// The arena: a mapping of fixed size that holds every page and every table of metadata, mapped once.
///
/// It hands out and takes back Regions of any order, 4 KiB to 1 MiB, and returns nil when it has none. It is a binary
/// buddy allocator (Knowlton, "A fast storage allocator", CACM 8(10), 1965). A free Region is a bit in the BitTree of
/// its order. The lowest address is taken first, which keeps the other end of the arena whole. Take and give are
/// O(orders).
///
/// Thread rules: any thread, any time. `lock` is an innermost one. A function whose name ends with `Locked` wants it
/// held.
struct Memory: ~Copyable {
    let metadata: Metadata
    /// The first byte of frame 0.
    let base: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int
    /// Bytes of the arena.
    let bytes: Int
    /// What the next server finds, or nil. It has the frames.
    let kept: KeptState?
    /// What the frames lie in.
    let backing: any MemoryBacking
    // These are internal only because Memory+Invariants is a file of its own.
    let lock: Lock
    let free: InlineArray<9, BitTree>
    let state: UnsafeMutablePointer<State>

    struct State {
        var freeFrames: Int
        /// The minimum that frames without any use, free or withheld, have been.
        var minIdleFrames: Int
        var closed: ClosedBlocks

        var idleFrames: Int { freeFrames + closed.withheld }
    }

    /// The smallest arena in which every request makes progress, bytes.
    #if FLEXPAGE_SCHEDULED  // For as few threads as a schedule has.
        static let minBytes = 64 << 10
    #else
        static let minBytes = 1 << 20
    #endif
    /// The largest arena whose frames have numbers that fit with room to spare, bytes.
    static let maxBytes = 1 << 43
    /// The minimum number of frames. It is enough for many threads to have at the same time a page being written, one
    /// being filled and one being written out.
    #if FLEXPAGE_SCHEDULED
        static let minFrames = 8
    #else
        static let minFrames = 64
    #endif

    /// Maps `bytes` bytes and lays them out.
    /// - Parameter kept: What another server has left, or an empty section; nil if nothing is to be kept. It has the
    ///   frames, and is part of `bytes`. Frames whose words are not empty are taken: `ProviderRegistry.takeOver`
    ///   decides about them.
    /// - Parameter backing: What `kept` lies in; nil if nothing is to be kept, or if no block of it can be given back.
    /// - Throws: ENOMEM if the machine has no such address space, EINVAL below `minBytes` and above `maxBytes`, or if
    ///   there is not enough room beside `kept` for its tables.
    init(bytes: Int, kept: KeptState? = nil, backing: (any MemoryBacking)? = nil) throws(AccessError) {
        guard (Memory.minBytes...Memory.maxBytes).contains(bytes),
            let frames = kept?.frames ?? Metadata.frames(fittingInto: bytes, atLeast: Memory.minFrames),
            Metadata.bytes(forFrames: frames, keptIn: kept.map { _ in BasePage.size }) <= bytes
        else { throw AccessError(EINVAL) }
        let mappedBytes = kept == nil ? bytes : Metadata.bytes(forFrames: frames) - frames * BasePage.size
        let mapping = try Memory.map(mappedBytes)
        self.mapping = mapping
        self.bytes = bytes
        self.mappedBytes = mappedBytes
        self.kept = kept
        self.backing = backing ?? AnonymousBacking()
        metadata = Metadata(frames: frames, at: mapping)
        base = kept?.memory ?? mapping + metadata.bytes
        lock = Lock(in: metadata.mutex(.memory))
        let trees = metadata.freeRegions
        free = InlineArray<9, BitTree> { order in
            BitTree(capacity: order == 0 ? frames : (frames >> order) + 1, words: trees[order])
        }
        state = .allocate(capacity: 1)
        let grid = BlockGrid(
            frames: kept == nil || backing != nil ? frames : 0, at: base, blockBytes: self.backing.blockBytes)
        state.initialize(
            to: State(freeFrames: 0, minIdleFrames: frames, closed: ClosedBlocks(grid, frames: frames)))
        freeAll()
    }

    private static func map(_ bytes: Int) throws(AccessError) -> UnsafeMutableRawPointer {
        #if FLEXPAGE_SCHEDULED
            let mapping = try mapAligned(bytes)
        #else
            let mapping = try mapAnywhere(bytes)
        #endif
        // Fewer TLB misses on a random hit. If the kernel refuses, nothing is lost.
        _ = madvise(mapping, bytes, MADV_HUGEPAGE)
        return mapping
    }

    private static func mapAnywhere(_ bytes: Int) throws(AccessError) -> UnsafeMutableRawPointer {
        let protection = PROT_READ | PROT_WRITE
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE)
        guard let mapping = mmap(nil, bytes, protection, flags, -1, 0), mapping != MAP_FAILED else {
            throw AccessError(ENOMEM)
        }
        return mapping
    }

    #if FLEXPAGE_SCHEDULED
        /// Which frames a block has depends on the address (BlockGrid). So that a seed alone decides it, the mapping
        /// begins at a multiple of what is larger than any block of a schedule.
        private static func mapAligned(_ bytes: Int) throws(AccessError) -> UnsafeMutableRawPointer {
            let alignment = 1 << 20
            let whole = try mapAnywhere(bytes + alignment)
            let before = (0 &- Int(bitPattern: whole)) & (alignment - 1)
            if before > 0 { munmap(whole, before) }
            let mapping = whole + before
            let end = mapping + (bytes + BasePage.size - 1) / BasePage.size * BasePage.size
            if alignment > before { munmap(end, whole + bytes + alignment - end) }
            return mapping
        }
    #endif

    deinit {
        state.pointee.closed.destroy()
        state.deallocate()
        munmap(mapping, mappedBytes)
    }

    /// All frames become free, in Regions as large as can be, except for those that hold something already.
    private func freeAll() {
        var next = 0
        while next < metadata.frames {
            if let kept, kept[next].isLive {
                next += 1
                continue
            }
            var order = min(next == 0 ? Region.maxOrder : next.trailingZeroBitCount, Region.maxOrder)
            while !isEmpty(Region(first: UInt32(next), order: UInt8(order))) { order -= 1 }
            free[order].insert(next >> order)
            state.pointee.freeFrames += 1 << order
            next += 1 << order
        }
        state.pointee.minIdleFrames = state.pointee.freeFrames
    }

    /// Whether the frames of `region` exist and hold nothing.
    private func isEmpty(_ region: Region) -> Bool {
        guard Int(region.end) <= metadata.frames else { return false }
        guard let kept else { return true }
        return (Int(region.first)..<Int(region.end)).allSatisfy { !kept[$0].isLive }
    }

    /// The memory of a frame.
    @inline(__always)
    func address(ofFrame frame: UInt32) -> UnsafeMutableRawPointer {
        base + Int(frame) &<< Int(BasePage.shift)
    }

    /// A Region of exactly `order`, or nil if there is none.
    func take(order: Int) -> Region? {
        lock.lock()
        defer { lock.unlock() }
        return takeLocked(order: order)
    }

    /// A Region of `order`, or of the largest order below it that there is, or nil if all frames are taken.
    func take(maxOrder: Int) -> Region? {
        lock.lock()
        defer { lock.unlock() }
        var order = maxOrder
        while order >= 0 {
            if let region = takeLocked(order: order) { return region }
            order -= 1
        }
        return nil
    }

    private func takeLocked(order: Int) -> Region? {
        lock.assertHeld()
        assert(order >= 0 && order <= Region.maxOrder, "a Region is at most a chunk")
        var from = order
        while from <= Region.maxOrder {
            if let index = free[from].first {
                return splitLocked(Region(first: UInt32(index << from), order: UInt8(from)), to: order)
            }
            from += 1
        }
        return nil
    }

    /// Takes a free Region and frees all of it but its lowest part of `order`.
    private func splitLocked(_ whole: Region, to order: Int) -> Region {
        lock.assertHeld()
        free[Int(whole.order)].remove(Int(whole.first) >> Int(whole.order))
        var region = whole
        while Int(region.order) > order {
            let upper = region.upperHalf
            free[Int(upper.order)].insert(Int(upper.first) >> Int(upper.order))
            region = region.lowerHalf
        }
        state.pointee.freeFrames -= region.frames
        state.pointee.minIdleFrames = min(state.pointee.minIdleFrames, state.pointee.idleFrames)
        return region
    }

    /// Takes a Region back. What of it lies in a closed block is withheld.
    func give(_ region: Region) {
        assert(Int(region.end) <= metadata.frames && Int(region.first) % region.frames == 0, "it was taken here")
        lock.lock()
        defer { lock.unlock() }
        if state.pointee.closed.count == 0 { freeLocked(region) } else { putLocked(region) }
    }

    /// Frees a Region and joins it with its buddies that are free.
    func freeLocked(_ region: Region) {
        lock.assertHeld()
        var region = region
        state.pointee.freeFrames += region.frames
        while Int(region.order) < Region.maxOrder {
            let buddy = region.buddy
            let index = Int(buddy.first) >> Int(buddy.order)
            guard Int(buddy.first) + buddy.frames <= metadata.frames, free[Int(buddy.order)].contains(index) else {
                break
            }
            free[Int(buddy.order)].remove(index)
            region = region.parent
        }
        free[Int(region.order)].insert(Int(region.first) >> Int(region.order))
    }

    /// How many frames of `block` are free, in Regions that lie in it. A snapshot; O(frames of it).
    /// - Parameter block: Not past the arena's end.
    func freeFrames(in block: Region) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var frames = 0
        forEachFreeLocked(in: block) { frames += $0.frames }
        return frames
    }

    /// Takes every free Region that lies in `block`. O(frames of it).
    /// - Parameter block: Not past the arena's end.
    func takeFree(in block: Region, addingTo taken: inout FrameSet) {
        lock.lock()
        defer { lock.unlock() }
        forEachFreeLocked(in: block) { region in
            _ = splitLocked(region, to: Int(region.order))
            taken.insert(region)
        }
    }

    /// Calls `body` with each free Region in `block`, in ascending order.
    private func forEachFreeLocked(in block: Region, _ body: (Region) -> Void) {
        lock.assertHeld()
        assert(Int(block.end) <= metadata.frames, "a block does not reach past the arena")
        let order = Int(block.order)
        if free[order].contains(Int(block.first) >> order) {
            body(block)
        } else if order > 0 {
            forEachFreeLocked(in: block.lowerHalf, body)
            forEachFreeLocked(in: block.upperHalf, body)
        }
    }

    /// Frames that are free. A snapshot.
    var freeFrames: Int { lock.withLock { state.pointee.freeFrames } }

    /// Frames that are free or withheld. A snapshot.
    var idleFrames: Int { lock.withLock { state.pointee.idleFrames } }

    /// Bytes of pages in use and of all metadata. A snapshot; O(1).
    var bytesInUse: Int { bytes(withIdleFrames: idleFrames) }

    /// The maximum that `bytesInUse` has been.
    var peakBytesInUse: Int { bytes(withIdleFrames: lock.withLock { state.pointee.minIdleFrames }) }

    private var bytesOfTables: Int {
        metadata.bytes + (kept == nil ? 0 : KeptLayout(frames: metadata.frames).memoryOffset)
    }

    private func bytes(withIdleFrames idle: Int) -> Int {
        bytesOfTables + (metadata.frames - idle) * BasePage.size
    }
}
