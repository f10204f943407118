import Glibc
import Synchronization

/// Every populated flexpage, with its image, in the order of recycling.
///
/// Each image has two queues of its own. The image that is furthest above its reserve gives the next frame (Shares),
/// and its queues say which flexpage. So no image can drive out what another one uses of its reserve.
///
/// The order in an image is S3-FIFO's (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23), with
/// one rule of Clock2Q+: a hit in the newer half of probation does not count. A client that reads small blocks touches
/// the same page several times at once.
///
///                append, a ghost
///     populated ─────────────────────────────────────────────▶ main ◀──┐ nextCandidate, hits > 0:
///         │ append, no ghost                                   ▲  │ └──┘ one hit less, to the tail
///         └─────────────────▶ probation ── nextCandidate, ─────┘  │
///                                 │        a counted hit          │ nextCandidate,
///                                 │ nextCandidate,                │ no hit
///                                 ▼ no counted hit                ▼
///                             recycled, now a ghost           recycled
///
/// Probation aims at a tenth of the frames that the image has or could have (ImageQueues). Sizes are counted in frames,
/// so a large flexpage weighs as much as many small ones. A hit sets bits in the flexpage's word and takes no lock
/// (ImageClock). The ghosts are all images' together: a page is remembered for as long as half of the memory takes to
/// be recycled.
///
/// Links are in the flexpages. A queue is its two ends. The thread that takes a flexpage off the queue decides what
/// becomes of its Region. While a recycler has it in hand, `remove` returns false.
///
/// Thread rules: any thread. `lock` is an innermost one. A function whose name ends with `Locked` wants it held. Append
/// and remove are O(1).
///
/// This file says what is on the queues. The extensions say what is recycled next (Recycling), what is reserved
/// (Reserves), what is queued (Snapshots, Walks) and what the next server is told (Hints), and check all that
/// (Invariants).
struct PageQueue: @unchecked Sendable {
    enum Name: UInt8 {
        /// Not queued: being filled, or in the hand of a recycler.
        case none = 0
        case probation
        case main
    }

    // These are internal only because the extensions are files of their own.
    let table: FlexpageTable
    let lock: Lock
    let state: UnsafeMutablePointer<State>
    /// The queues of each image, by its number.
    let images: UnsafeMutablePointer<ImageQueues>
    let imageCount: Int
    /// The frames that probation aims at if a tenth would be less.
    let minProbation: Int

    struct State {
        var shares: Shares
        var ghosts: Ghosts
        /// Whether a walk is under way, and which flexpage it visits next; `.none` at the end of a queue.
        var isWalking = false
        var walked = FlexpageID.none
        /// How many times the reserve of an image has changed, or whether it has users.
        var wishChanges: UInt64 = 0
    }

    init(table: FlexpageTable, metadata: borrowing Metadata) {
        self.init(table: table, QueueTables(metadata))
    }

    init(table: FlexpageTable, _ tables: QueueTables) {
        self.table = table
        lock = Lock(in: tables.mutex)
        images = tables.imageQueues
        imageCount = tables.images
        minProbation = tables.minProbation
        state = .allocate(capacity: 1)
        state.initialize(to: State(shares: Shares(tables), ghosts: Ghosts(tables)))
        for image in 0..<imageCount {
            (images + image).initialize(to: ImageQueues())
            aimLocked(UInt16(image))
        }
    }

    /// Frees what `init` took. Nobody uses the queue afterwards.
    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// What a use of a page of the image counts.
    func clock(ofImage image: UInt16) -> ImageClock { ImageClock(images + Int(image)) }

    /// Queues flexpages of one image that have just been populated: the `count` that `flexpage` names.
    @inline(__always)
    func append(count: Int, _ flexpage: (Int) -> FlexpageID) {
        lock.lock()
        defer { lock.unlock() }
        guard count > 0 else { return }
        let image = table[flexpage(0)].pointee.key.image
        let generation = images[Int(image)].generation
        for index in 0..<count {
            let id = flexpage(index)
            let known = state.pointee.ghosts.remove(table[id].pointee.key, generation)
            linkLocked(id, to: known ? .main : .probation)
        }
        aimLocked(image)
    }

    /// Queues a flexpage again that a recycler had in hand and found in use.
    func putBack(_ id: FlexpageID, to name: Name) {
        lock.lock()
        defer { lock.unlock() }
        linkLocked(id, to: name)
    }

    /// Takes a flexpage off the queue, so that the caller may free its Region.
    /// - Returns: False if a recycler has it in hand: then the recycler frees the Region.
    func remove(_ id: FlexpageID) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard table[id].pointee.queue != .none else { return false }
        unlinkLocked(id)
        return true
    }

    /// Replaces flexpage `id` by `count` flexpages at the same point of the queue: the pieces that it is split into, or
    /// itself in another Region.
    /// - Parameter make: Makes them, one after the other.
    /// - Returns: False if a recycler has it in hand: nothing has been made then.
    func replace(_ id: FlexpageID, count: Int, _ make: (Int) -> FlexpageID) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let name = table[id].pointee.queue
        guard name != .none else { return false }
        let tick = QueuePosition(table.word(id).pointee.position.load(ordering: .relaxed)).tick
        if Flaw.earlyPieces.isPlanted { letRecyclersIn(id, name) }
        let next = table[id].pointee.next
        let isWalked = state.pointee.walked == id
        unlinkLocked(id)
        for index in 0..<count {
            let piece = make(index)
            if index == 0, isWalked { state.pointee.walked = piece }
            let position = QueuePosition(at: tick, order: table[piece].pointee.order)
            table.word(piece).pointee.position.store(position.raw, ordering: .relaxed)
            insertLocked(piece, before: next, in: name)
        }
        return true
    }

    /// What is wrong if `Flaw.earlyPieces` is planted.
    private func letRecyclersIn(_ id: FlexpageID, _ name: Name) {
        lock.unlock()
        lock.lock()
        if table[id].pointee.queue == .none { appendLocked(id, to: name) }
    }

    // MARK: With the lock held

    /// Queues a flexpage at the tail of `name`, as one that has just come there.
    @inline(__always)
    func linkLocked(_ id: FlexpageID, to name: Name) {
        let flexpage = table[id]
        var tick: UInt32 = 0
        if name == .probation {
            let queues = images + Int(flexpage.pointee.key.image)
            let now = queues.pointee.clock.wrappingAdd(UInt32(flexpage.pages), ordering: .relaxed).newValue
            tick = ImageClock.tick(now)
        } else {
            table.kept?.promote(table.region(of: id), flexpage.pointee.key)
        }
        let position = QueuePosition(at: tick, order: flexpage.pointee.order)
        table.word(id).pointee.position.store(position.raw, ordering: .relaxed)
        appendLocked(id, to: name)
    }

    /// Queues a flexpage at the tail of `name`, and leaves its time as it is.
    func appendLocked(_ id: FlexpageID, to name: Name) { insertLocked(id, before: .none, in: name) }

    /// Queues a flexpage before `next`, or at the tail if that is `.none`.
    @inline(__always)
    private func insertLocked(_ id: FlexpageID, before next: FlexpageID, in name: Name) {
        lock.assertHeld()
        assert(table[id].pointee.queue == .none && name != .none, "a flexpage is on one queue")
        let (image, frames) = (table[id].pointee.key.image, table[id].pages)
        let queues = images + Int(image)
        table[id].pointee.queue = name
        if name == .probation {
            table.insert(id, before: next, in: &queues.pointee.probation.head, &queues.pointee.probation.tail)
            queues.pointee.probation.count(frames)
        } else {
            table.insert(id, before: next, in: &queues.pointee.main.head, &queues.pointee.main.tail)
            queues.pointee.main.count(frames)
        }
        state.pointee.shares.count(frames, of: image)
    }

    /// Takes a flexpage off the queue that it is on.
    @inline(__always)
    func unlinkLocked(_ id: FlexpageID) {
        lock.assertHeld()
        let flexpage = table[id]
        assert(flexpage.pointee.queue != .none, "only what is queued is taken off")
        let (image, frames) = (flexpage.pointee.key.image, flexpage.pages)
        let queues = images + Int(image)
        if state.pointee.walked == id { state.pointee.walked = flexpage.pointee.next }
        if flexpage.pointee.queue == .probation {
            table.unlink(id, from: &queues.pointee.probation.head, &queues.pointee.probation.tail)
            queues.pointee.probation.uncount(frames)
        } else {
            table.unlink(id, from: &queues.pointee.main.head, &queues.pointee.main.tail)
            queues.pointee.main.uncount(frames)
        }
        state.pointee.shares.uncount(frames, of: image)
        flexpage.pointee.queue = .none
    }

    /// Lets probation of the image aim at its part of what the image has or could have at present.
    @inline(__always)
    func aimLocked(_ image: UInt16) {
        let others = state.pointee.shares.held &- state.pointee.shares.held(by: image)
        (images + Int(image)).aim(
            framesOfOthers: others, reserve: state.pointee.shares.reserve(of: image),
            frames: state.pointee.shares.frames, minProbation: minProbation)
    }
}
