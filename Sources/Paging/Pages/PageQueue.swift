import Glibc
import Synchronization

/// Every issued flexpage, with its owner, in the order of recycling.
///
/// The order is S3-FIFO's (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23) with the rule of
/// Clock2Q+ that a hit in the newer half of probation does not count, because whoever reads blocks touches the same
/// page several times at once.
///
///                      ghost knows it                   hits > 0: one hit less, to the tail
///        populated ─────────────────────▶ main ◀──────┐      ┌──────┐
///            │                            │  ▲ └───────┼──────┘      │
///            └──▶ probation ── counted hit ──┘         └─────────────┘
///                    │ head, no counted hit │ head, no hits
///                    ▼                      ▼
///                 recycled, a ghost      recycled
///
/// Probation aims at a tenth of the frames, but at least 100 of them (at most half): with few frames a page would not
/// stay long enough to be used again. Sizes are counted in frames, so a large flexpage takes the place of many.
/// A hit sets bits in the flexpage's word and takes no lock.
///
/// Links are in the flexpages; a queue is its two ends. Who takes a flexpage off the queue decides what becomes of its
/// Region: while a recycler has one in hand, `remove` says no.
///
/// Thread rules: any thread. `lock` is an innermost one. Append and remove are O(1); `nextCandidate` is O(1)
/// amortised, as each step takes a hit back, moves a page on for good, or ends.
struct PageQueue: @unchecked Sendable {
    enum Name: UInt8 {
        /// Not queued: being filled, or in the hands of a recycler.
        case none = 0
        case probation
        case main
    }

    /// How many hits are remembered of a page.
    private static let maxHits: UInt32 = 3
    /// The clock of probation moves on by one for each 2⁴ hits of a shard.
    private static let hitsOfTickShift: UInt64 = 4
    /// Pages not yet durable are recycled last: so many are passed over in a search.
    private static let maxPassedOver = 64
    /// After so many pages in use or dirty at the head of one queue the other one is tried: with 40 % of 128 MiB dirty
    /// a miss that went through all of probation first took ten times as long.
    private static let patience = 32

    // These two are PageQueue+Dirty's too.
    let table: FlexpageTable
    let lock: Lock
    private let state: UnsafeMutablePointer<State>
    /// Frames that probation aims at.
    let probationTarget: Int
    /// A hit counts once so many frames have entered probation after the page.
    private let correlationFrames: UInt32

    private struct State: ~Copyable {
        var probation = List()
        var main = List()
        var ghosts: Ghosts
        /// Frames that have entered probation so far, modulo 2³²; read without the lock when a hit is counted.
        let clock = Atomic<UInt32>(1)
    }

    fileprivate struct List {
        var head = FlexpageID.none
        var tail = FlexpageID.none
        var flexpages = 0
        var frames = 0
    }

    init(table: FlexpageTable, metadata: borrowing Metadata) {
        self.table = table
        lock = Lock(in: metadata.mutex(.queue))
        probationTarget = max(metadata.frames / 10, min(100, metadata.frames / 2))
        correlationFrames = UInt32(min(probationTarget / 2, 1 << 27))
        state = .allocate(capacity: 1)
        state.initialize(to: State(ghosts: Ghosts(metadata)))
    }

    /// Frees what `init` took. Nobody uses the queue after.
    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// The word of a page whose word is `word` after one more use of it. The first use of what was read ahead is not a
    /// hit; it is what demand would have filled. Takes no lock.
    @inline(__always)
    func countingUse(_ word: UInt32, _ position: QueuePosition) -> UInt32 {
        PageState(word).has(PageState.prefetched) ? word & ~PageState.untilUsed : countingHit(word, position)
    }

    /// The word of a page whose word is `word` after one more hit. Takes no lock.
    @inline(__always)
    func countingHit(_ word: UInt32, _ position: QueuePosition) -> UInt32 {
        if word & PageState.hitMask == PageQueue.maxHits &* PageState.hit { return word }
        if position.isTimed, position.age(at: state.pointee.clock.load(ordering: .relaxed)) <= correlationFrames {
            return word
        }
        return word &+ PageState.hit
    }

    /// Moves the clock on with the hits of a shard, which has had `before` of them and now `after`. Else a page
    /// that came last before all that is used had become resident would never have a hit counted, however long it was
    /// used, and would be lost to the first scan. Takes no lock.
    @inline(__always)
    func countTime(ofHits before: UInt64, _ after: UInt64) {
        let ticks = after &>> PageQueue.hitsOfTickShift &- before &>> PageQueue.hitsOfTickShift
        guard ticks != 0 else { return }
        state.pointee.clock.wrappingAdd(UInt32(truncatingIfNeeded: ticks), ordering: .relaxed)
    }

    /// Has the time of a page begin with its first use, which is now, where it had been read ahead: else whoever reads
    /// a large one piece by piece would have its hits counted, because it was read so far ahead, and a scan would fill
    /// main. Takes no lock: where the page has been moved since `position` was read, it stays as it is.
    @inline(__always)
    func startTime(of word: UnsafeMutablePointer<FlexpageWord>, _ position: QueuePosition) {
        guard position.isTimed else { return }
        let begun = QueuePosition(at: tick(state.pointee.clock.load(ordering: .relaxed)), order: UInt8(position.order))
        _ = word.pointee.position.compareExchange(expected: position.raw, desired: begun.raw, ordering: .relaxed)
    }

    /// What a position remembers of the clock; never 0.
    @inline(__always)
    private func tick(_ clock: UInt32) -> UInt32 { max(clock & 0xFFF_FFFF, 1) }

    /// Queues flexpages that have just been populated: the `count` that `flexpage` names.
    @inline(__always)
    func append(count: Int, _ flexpage: (Int) -> FlexpageID) {
        lock.lock()
        defer { lock.unlock() }
        for index in 0..<count {
            let id = flexpage(index)
            let known = state.pointee.ghosts.remove(table[id].pointee.key)
            link(id, to: known ? .main : .probation)
        }
    }

    /// Queues a flexpage again that a recycler had in hand and found in use.
    func putBack(_ id: FlexpageID, to name: Name) {
        lock.lock()
        defer { lock.unlock() }
        link(id, to: name)
    }

    /// Takes a flexpage off the queue, so that its Region is the caller's to free.
    /// - Returns: False if a recycler has it in hand: the Region is then the recycler's.
    func remove(_ id: FlexpageID) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard table[id].pointee.queue != .none else { return false }
        unlink(id)
        return true
    }

    /// Puts `count` flexpages in the place of flexpage `id`: the pieces that it is split into, or itself in another
    /// Region.
    /// - Parameter make: Makes each of them, one after the other.
    /// - Returns: False if a recycler has it in hand: nothing has been made then.
    func replace(_ id: FlexpageID, count: Int, _ make: (Int) -> FlexpageID) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let name = table[id].pointee.queue
        guard name != .none else { return false }
        let tick = QueuePosition(table.word(id).pointee.position.load(ordering: .relaxed)).tick
        if Flaw.earlyPieces.isPlanted { letRecyclersIn(id, name) }
        let next = table[id].pointee.next
        unlink(id)
        for index in 0..<count {
            let piece = make(index)
            let position = QueuePosition(at: tick, order: table[piece].pointee.order)
            table.word(piece).pointee.position.store(position.raw, ordering: .relaxed)
            insert(piece, before: next, in: name)
        }
        return true
    }

    /// What is wrong if `Flaw.earlyPieces` is planted.
    private func letRecyclersIn(_ id: FlexpageID, _ name: Name) {
        lock.unlock()
        lock.lock()
        if table[id].pointee.queue == .none { append(id, to: name) }
    }

    /// A flexpage that is queued, or was a moment ago.
    struct Queued {
        let key: PageKey
        let region: Region
    }

    /// The flexpage whose first frame is `frame`, or nil where none begins there that is queued.
    func flexpage(at frame: FlexpageID) -> Queued? {
        lock.lock()
        defer { lock.unlock() }
        guard table[frame].pointee.queue != .none else { return nil }
        return Queued(key: table[frame].pointee.key, region: table.region(of: frame))
    }

    /// How many frames of `block` are of queued flexpages that could be moved now. A snapshot; O(frames of it).
    func movableFrames(in block: Region) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var movable = 0
        var frame = block.first
        while frame < block.end {
            guard table[frame].pointee.queue != .none else {
                frame += 1
                continue
            }
            let region = table.region(of: frame)
            let word = PageState(table.word(frame).pointee.state.load(ordering: .relaxed))
            if word.isMovable, region.order <= Pages.maxMoved { movable += region.frames }
            frame = region.end
        }
        return movable
    }

    /// A flexpage in the hands of a recycler, and the queue that it came from.
    struct Candidate {
        let id: FlexpageID
        let from: Name
        let key: PageKey
    }

    /// Takes the flexpage to be recycled next off the queue, passing over those in use or dirty, or nil where one round
    /// found none.
    func nextCandidate() -> Candidate? {
        lock.lock()
        defer { lock.unlock() }
        // A round visits each page. Three rounds take hits back, in either queue; two more find what is left, whether
        // it is durable or not: among many dirty pages one that is not durable yet would otherwise be passed over for
        // ever.
        let flexpages = state.pointee.probation.flexpages + state.pointee.main.flexpages
        let maxUnsynced = min(PageQueue.maxPassedOver, flexpages)
        var visits = flexpages * 8
        // Where all of the one queue is in use or dirty, the other serves: idle pages must not be out of reach.
        var passedOver = (probation: 0, main: 0)
        var unsynced = 0
        while visits > 0 {
            visits -= 1
            let name = queueToTakeFrom(passedOver.probation, passedOver.main)
            guard name != .none else { return nil }
            let id = name == .main ? state.pointee.main.head : state.pointee.probation.head
            let word = PageState(table.word(id).pointee.state.load(ordering: .relaxed))
            if word.hits > 0 {
                advance(id, name)
            } else if !word.isRecyclable
                || word.has(PageState.unsynced) && unsynced < maxUnsynced && visits >= flexpages * 2
            {
                if word.has(PageState.unsynced) { unsynced += 1 }
                // It keeps its place in time.
                unlink(id)
                append(id, to: name)
                if name == .main { passedOver.main += 1 } else { passedOver.probation += 1 }
            } else {
                return candidate(id, from: name)
            }
        }
        return nil
    }

    /// The queue whose turn it is, or the other one as long as that one has been passed over in vain oftener.
    private func queueToTakeFrom(_ passedOverInProbation: Int, _ passedOverInMain: Int) -> Name {
        if state.pointee.main.head == .none { return state.pointee.probation.head == .none ? .none : .probation }
        if state.pointee.probation.head == .none { return .main }
        guard passedOverInProbation | passedOverInMain != 0 else {
            return state.pointee.probation.frames > probationTarget ? .probation : .main
        }
        let rounds = (
            probation: passedOverInProbation / min(PageQueue.patience, state.pointee.probation.flexpages),
            main: passedOverInMain / min(PageQueue.patience, state.pointee.main.flexpages)
        )
        if rounds.probation != rounds.main { return rounds.probation < rounds.main ? .probation : .main }
        return state.pointee.probation.frames > probationTarget ? .probation : .main
    }

    /// A page with hits at the head: from probation it is promoted, in main it has another round for one hit less.
    private func advance(_ id: FlexpageID, _ name: Name) {
        let taken = name == .probation ? PageState.hitMask : PageState.hit
        if name == .probation {
            table.word(id).pointee.state.bitwiseAnd(~taken, ordering: .relaxed)
        } else {
            table.word(id).pointee.state.wrappingSubtract(taken, ordering: .relaxed)
        }
        unlink(id)
        link(id, to: .main)
    }

    private func candidate(_ id: FlexpageID, from name: Name) -> Candidate {
        unlink(id)
        let key = table[id].pointee.key
        if name == .probation {
            for page in table[id].covered {
                state.pointee.ghosts.insert(PageKey(image: key.image, page: page))
            }
        }
        return Candidate(id: id, from: name, key: key)
    }

    /// Queues a flexpage at the tail of `name`, as one that has just come there.
    private func link(_ id: FlexpageID, to name: Name) {
        let flexpage = table[id]
        var tick: UInt32 = 0
        if name == .probation {
            let now = state.pointee.clock.wrappingAdd(UInt32(flexpage.pages), ordering: .relaxed).newValue
            tick = self.tick(now)
        }
        let position = QueuePosition(at: tick, order: flexpage.pointee.order)
        table.word(id).pointee.position.store(position.raw, ordering: .relaxed)
        append(id, to: name)
    }

    private func append(_ id: FlexpageID, to name: Name) { insert(id, before: .none, in: name) }

    /// Queues a flexpage before `next`, or at the tail where that is `.none`.
    private func insert(_ id: FlexpageID, before next: FlexpageID, in name: Name) {
        let frames = Int(table[id].pages)
        table[id].pointee.queue = name
        if name == .probation {
            table.insert(id, before: next, in: &state.pointee.probation.head, &state.pointee.probation.tail)
            state.pointee.probation.count(frames)
        } else {
            table.insert(id, before: next, in: &state.pointee.main.head, &state.pointee.main.tail)
            state.pointee.main.count(frames)
        }
    }

    private func unlink(_ id: FlexpageID) {
        let flexpage = table[id]
        if flexpage.pointee.queue == .probation {
            table.unlink(id, from: &state.pointee.probation.head, &state.pointee.probation.tail)
            state.pointee.probation.uncount(Int(flexpage.pages))
        } else {
            table.unlink(id, from: &state.pointee.main.head, &state.pointee.main.tail)
            state.pointee.main.uncount(Int(flexpage.pages))
        }
        flexpage.pointee.queue = .none
    }

    /// Frames of all queued flexpages. Each queue's links and counts agree. O(flexpages).
    func checkInvariants() -> Int {
        lock.lock()
        defer { lock.unlock() }
        for (name, list) in [(Name.probation, state.pointee.probation), (Name.main, state.pointee.main)] {
            var flexpages = 0
            var frames = 0
            var previous = FlexpageID.none
            var id = list.head
            while id != .none {
                precondition(table[id].pointee.queue == name, "a queued flexpage knows its queue")
                precondition(table[id].pointee.previous == previous, "links must agree")
                flexpages += 1
                frames += Int(table[id].pages)
                previous = id
                id = table[id].pointee.next
            }
            precondition(previous == list.tail, "the tail is the last")
            precondition(flexpages == list.flexpages && frames == list.frames, "counts must agree")
        }
        return state.pointee.probation.frames + state.pointee.main.frames
    }
}

extension PageQueue.List {
    fileprivate mutating func count(_ frames: Int) {
        flexpages += 1
        self.frames += frames
    }

    fileprivate mutating func uncount(_ frames: Int) {
        flexpages -= 1
        self.frames -= frames
    }
}

extension FlexpageTable {
    /// Puts a flexpage that is on no list before `next`, which is on the list with these ends, or at its tail where
    /// that is `.none`.
    fileprivate func insert(
        _ id: FlexpageID, before next: FlexpageID, in head: inout FlexpageID, _ tail: inout FlexpageID
    ) {
        let previous = next == .none ? tail : self[next].pointee.previous
        self[id].pointee.previous = previous
        self[id].pointee.next = next
        if previous == .none { head = id } else { self[previous].pointee.next = id }
        if next == .none { tail = id } else { self[next].pointee.previous = id }
    }

    /// Takes a flexpage off the list with these ends.
    fileprivate func unlink(_ id: FlexpageID, from head: inout FlexpageID, _ tail: inout FlexpageID) {
        let (previous, next) = (self[id].pointee.previous, self[id].pointee.next)
        if previous == .none { head = next } else { self[previous].pointee.next = next }
        if next == .none { tail = previous } else { self[next].pointee.previous = previous }
    }
}
