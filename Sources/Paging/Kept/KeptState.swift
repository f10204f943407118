import CStateFormat
import Glibc
import Synchronization

/// What one server leaves for the next one, whatever has ended it: the frames, and the section before them that says
/// what is in them. It lies in memory that outlives the process (CStateFormat.h has the format).
///
/// Everything else, the tables of paging, is made anew by the next server: it could have been left half changed.
///
/// **What is written when.** Each word stands for the bytes of its frame, so it is stored after them and cleared before
/// them.
/// - A page that has been read: its word is stored when its fill is published (`publish`).
/// - A page that is written: `write` clears the word of a clean page, copies, and stores the word, now *owed*. A page
///   that was owed before stays so, and is changed a sector at a time, each with its old bytes in an undo slot. So a
///   server that dies leaves, in each sector of a write that it has not answered, the old bytes or the new ones.
/// - A page that is durable is not owed any more (`settle`). If a zero or trim has reserved it, its word is cleared:
///   the image may hold zeroes there by now.
/// - A page that leaves the memory: its word is cleared before its frame is given back (`clear`).
/// - A page that is moved: the word of the new frame is stored after the bytes, and before the old word is cleared. A
///   server that dies between leaves two frames with the same bytes, and either will do.
///
/// - A page that the PageQueue moves to main, or that has been hit: its words get a hint (`promote`), so that the next
///   server has it there.
///
/// Pointers, cheap to copy. Thread rules: the word of a frame changes only with the lock of the shard of its page, or
/// with the latch of a writer, but for the hint. A read of the image puts bytes into frames whose words are 0.
public struct KeptState: @unchecked Sendable {
    /// The first byte of the mapping. The rest is found through the header, so that this is one word.
    private let base: UnsafeMutableRawPointer

    /// Takes a section that `KeptLayout` has laid out, or that has been checked.
    private init(at base: UnsafeMutableRawPointer) { self.base = base }

    /// Makes an empty section in memory that is all zeroes.
    /// - Parameter base: At least `layout.bytes` bytes, aligned to the base page.
    public init(making layout: KeptLayout, at base: UnsafeMutableRawPointer) {
        layout.writeHeader(at: base)
        self.init(at: base)
        flexpage_keep_order()
        header.pointee.is_ready = 1
    }

    /// Takes the section that another server has left, which may be anything.
    /// - Throws: What is wrong with it. Nothing has been changed then.
    public init(checking mapping: UnsafeMutableRawBufferPointer) throws(KeptDamage) {
        try KeptDamage.check(mapping)
        self.init(at: mapping.baseAddress!)
    }

    // MARK: Its parts

    public var frames: Int { Int(header.pointee.frames) }
    public var imageCount: Int { Int(header.pointee.images) }

    @inline(__always)
    private var words: UnsafeMutablePointer<Synchronization.Atomic<UInt64>> {
        (base + Int(header.pointee.words_offset)).assumingMemoryBound(to: Synchronization.Atomic<UInt64>.self)
    }

    private var slots: UndoSlots {
        UndoSlots(at: base + Int(header.pointee.slots_offset), count: Int(header.pointee.slots))
    }

    /// The first byte of frame 0.
    @inline(__always)
    var memory: UnsafeMutableRawPointer { base + Int(header.pointee.memory_offset) }

    // MARK: The server

    @inline(__always)
    public var header: UnsafeMutablePointer<flexpage_state_header> {
        base.assumingMemoryBound(to: flexpage_state_header.self)
    }

    /// The record of an image.
    public func image(_ number: Int) -> KeptImage {
        assert(number < imageCount, "there is a record for each image that can be open")
        let images = base + Int(header.pointee.images_offset)
        return KeptImage(at: images + number * MemoryLayout<flexpage_state_image>.stride)
    }

    /// When the server was last alive, nanoseconds of CLOCK_REALTIME.
    public var alive: UInt64 { aliveWord.pointee.load(ordering: .relaxed) }

    /// A thread that says that it lives, and one that looks, may do so at the same time. No order of events is drawn
    /// here.
    private var aliveWord: UnsafeMutablePointer<Synchronization.Atomic<UInt64>> {
        UnsafeMutableRawPointer(signOfLife).assumingMemoryBound(to: Synchronization.Atomic<UInt64>.self)
    }

    /// The word of `alive`, for a thread that can call nothing of this.
    var signOfLife: UnsafeMutablePointer<UInt64> { flexpage_state_alive(header) }

    /// The records that are in use.
    public var imagesInUse: [(number: Int, image: KeptImage)] {
        (0..<imageCount).map { ($0, image($0)) }.filter { $0.1.isInUse }
    }

    /// The server is alive, now.
    public func noteAlive() { aliveWord.pointee.store(KeptState.now, ordering: .relaxed) }

    /// How many servers in a row have died within a minute of service, if the last one is dead now.
    public var shortLives: Int {
        let (since, alive) = (header.pointee.serving_since, header.pointee.alive)
        if since == KeptState.ended { return 0 }
        let isShort = since == 0 || alive < since || alive - since < KeptState.shortLife
        return isShort ? Int(header.pointee.short_lives) + 1 : 0
    }

    /// A minute, in nanoseconds.
    private static let shortLife: UInt64 = 60_000_000_000
    private static let ended = UInt64.max

    /// A server has taken charge, and will serve.
    public func noteBegin() {
        header.pointee.short_lives = UInt32(clamping: shortLives)
        header.pointee.serving_since = 0
    }

    /// The server serves from now on.
    public func noteService() {
        noteAlive()
        header.pointee.serving_since = KeptState.now
    }

    /// The server has ended in good order.
    public func noteEnd() {
        noteAlive()
        header.pointee.serving_since = KeptState.ended
    }

    /// Nanoseconds of CLOCK_REALTIME, the clock that files are stamped with.
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: Words

    /// What frame `frame` holds.
    @inline(__always)
    public subscript(frame: Int) -> KeptWord {
        get { KeptWord(words[frame].load(ordering: .relaxed)) }
        nonmutating set {
            flexpage_keep_order()
            words[frame].store(newValue.raw, ordering: .relaxed)
            flexpage_keep_order()
            Schedule.step()
        }
    }

    /// The frames of `region` hold the base pages from `key` on, as the image has them, durable or not.
    func publish(_ region: Region, _ key: PageKey, isOwed: Bool = false) {
        for index in 0..<region.frames {
            self[Int(region.first) + index] = KeptWord(
                PageKey(image: key.image, page: key.page + UInt64(index)), isOwed: isOwed)
        }
    }

    /// The frames of `region` hold nothing any more.
    func clear(_ region: Region) {
        for frame in Int(region.first)..<Int(region.end) { self[frame] = .empty }
    }

    /// The frames of `target` hold what those of `source` hold, which are cleared.
    func move(_ source: Region, to target: Region) {
        for index in 0..<source.frames { self[Int(target.first) + index] = self[Int(source.first) + index] }
        clear(source)
    }

    /// What frame `frame` holds is durable.
    func settle(_ frame: Int) {
        guard self[frame].isLive else { return }
        self[frame] = self[frame].settled
    }

    /// The pages from `key` on, which the frames of `region` hold, are used again and again. Any thread, without the
    /// locks of their shards. A word that changes at the same time may go without the hint.
    func promote(_ region: Region, _ key: PageKey) {
        guard !self[Int(region.first)].isPromoted else { return }
        for index in 0..<region.frames {
            let frame = Int(region.first) + index
            let word = self[frame]
            guard word.isLive, word.key == PageKey(image: key.image, page: key.page + UInt64(index)) else { continue }
            _ = words[frame].compareExchange(
                expected: word.raw, desired: word.promoted.raw, ordering: .relaxed)
        }
    }

    // MARK: Writing

    /// Copies `count` bytes to `target`, a part of base page `page` in its frame, or zeroes if there is no `source`.
    /// What the frame holds is owed afterwards. The caller has the page's latch.
    func write(_ key: PageKey, to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer?, count: Int) {
        let offset = target - memory
        let frame = offset / BasePage.size
        assert(offset % BasePage.size + count <= BasePage.size, "one base page is written at a time")
        if self[frame].isOwed {
            assert(self[frame].key == key, "the word of a frame names its page")
            slots.write(atOffset: offset, in: memory, from: source, count: count)
        } else {
            let isPromoted = self[frame].isPromoted
            self[frame] = .empty
            KeptState.copyInSteps(to: target, from: source, count: count)
            self[frame] = KeptWord(key, isOwed: true, isPromoted: isPromoted)
        }
    }

    /// Copies bytes, or zeroes.
    static func copy(to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer?, count: Int) {
        if let source { memcpy(target, source, count) } else { memset(target, 0, count) }
    }

    /// The same. A server may die in the midst of it, so a Scheduler may draw that.
    static func copyInSteps(to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer?, count: Int) {
        #if FLEXPAGE_SCHEDULED
            let half = min(count, 200)
            copy(to: target, from: source, count: half)
            Schedule.step()
            copy(to: target + half, from: source.map { $0 + half }, count: count - half)
        #else
            copy(to: target, from: source, count: count)
        #endif
    }

    // MARK: Taking over

    /// Gives back to each sector that was being overwritten its bytes from before. Once, before anything else is done
    /// with the frames.
    public func undoWrites() {
        slots.undo(in: memory, frames: frames) { self[$0].isOwed }
    }

    /// The memory of frame `frame`.
    public func memory(ofFrame frame: Int) -> UnsafeMutableRawPointer { memory + frame * BasePage.size }
}
