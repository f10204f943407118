import Glibc
import Synchronization

/// The write-outs under way. Each writes out many dirty leaves of one image in the order of their offsets, with as many
/// threads as come to help.
///
///     free ── take ──▶ taken ── open (leaves gathered, sorted) ──▶ open ── close (all claimed, all ended) ──▶ free
///
/// A thread that needs data written out leads a write-out: it gathers the leaves into a slot, claims runs of them until
/// none is left, and waits for its helpers. The crew of the Writeback helps with whatever is open. The slots are few.
/// They and their room for leaves are allocated in advance, and a write-out of more leaves is done in parts.
///
/// The crew also looks after images: the watch posts those that may need it (WritebackQueue+Posts).
///
/// If several images share the Memory, one of them has at most half of the slots and of the crew. So an image whose
/// disk hangs does not stop the others.
///
/// Thread rules: any thread; a thread that waits here holds nothing. `lock` is innermost and is not held while leaves
/// are gathered or written.
struct WritebackQueue: @unchecked Sendable {
    /// How many write-outs can be under way at once, of all images.
    static let slotCount = 8
    /// The number of leaves that are worth another thread's help.
    private static let leavesOfClaim = 32
    /// The maximum number of leaves claimed at once, if they are side by side: 2 MiB.
    private static let maxLeavesOfClaim = 64

    private let keys: UnsafeMutablePointer<UInt64>
    private let capacity: Int
    let state: UnsafeMutablePointer<State>
    private let kicked: UnsafeMutablePointer<Kick>

    /// Every writer reads this while much is dirty, so it is read without the lock.
    private struct Kick: ~Copyable {
        let isSet = Atomic<Bool>(false)
    }

    struct State {
        var isStopping = false
        /// The maximum of the crew that works for one image at once.
        var maxCrewOfImage = Int.max
        var maxSlotsOfImage = WritebackQueue.slotCount
        /// What the crew does for each image, by its number, and the images posted: a ring, in the order of posting.
        let images: UnsafeMutablePointer<ImageWork>
        let imageCount: Int
        let posts: UnsafeMutablePointer<UInt16>
        var firstPost = 0
        var postCount = 0
        /// Not first: see Shard.
        var mutex = pthread_mutex_t()
        /// The helpers of the crew wait here for work.
        var work = pthread_cond_t()
        /// The watch waits here for a kick.
        var watch = pthread_cond_t()
        /// Leaders wait here for their helpers, and for slots.
        var done = pthread_cond_t()
        var slots = InlineArray<8, Slot>(repeating: Slot())

        init(images: Int) {
            self.images = .allocate(capacity: images)
            self.images.initialize(repeating: ImageWork(), count: images)
            imageCount = images
            posts = .allocate(capacity: images)
        }
    }

    struct ImageWork {
        /// Threads of the crew that work for the image.
        var crew = 0
        /// It is posted, and not yet looked after.
        var provider: Unmanaged<Provider>?
        /// A thread of the crew looks after it.
        var isLookedAfter = false
        /// It has been posted again since.
        var isWantedAgain = false
        /// A thread that closes the image waits until it is not looked after.
        var isWithdrawn = false
        /// It is in the ring of posts, perhaps as one that has been withdrawn.
        var isInRing = false
    }

    struct Slot {
        var isTaken = false
        var image: UInt16 = 0
        var provider: Unmanaged<Provider>?
        var effort = WriteBatch.Effort.again
        var count = 0
        var next = 0
        var workers = 0
        var error: Int32 = 0
        /// A worker has left alone what a zero or trim had reserved.
        var hasPassedOver = false
    }

    /// How many leaves a slot has room for.
    static func capacity(frames: Int) -> Int { frames / slotCount + 16 }

    init(_ metadata: borrowing Metadata) {
        keys = metadata.writebackKeys
        capacity = WritebackQueue.capacity(frames: metadata.frames)
        state = .allocate(capacity: 1)
        state.initialize(to: State(images: metadata.images))
        kicked = .allocate(capacity: 1)
        kicked.initialize(to: Kick())
        _ = Lock(in: state.pointer(to: \.mutex)!)
        _ = Condition(in: state.pointer(to: \.work)!)
        _ = Condition(in: state.pointer(to: \.watch)!)
        _ = Condition(in: state.pointer(to: \.done)!)
    }

    func destroy() {
        kicked.deinitialize(count: 1)
        kicked.deallocate()
        state.pointee.images.deallocate()
        state.pointee.posts.deallocate()
        state.deallocate()
    }

    /// A crew of `count` threads begins.
    /// - Parameter isShared: Whether one image has at most half of it, and of the slots.
    func begin(crew count: Int, isShared: Bool) {
        lock.withLock {
            state.pointee.maxCrewOfImage = isShared ? max(1, count / 2) : count
            state.pointee.maxSlotsOfImage = isShared ? WritebackQueue.slotCount / 2 : WritebackQueue.slotCount
        }
    }

    var lock: Lock { Lock(at: state.pointer(to: \.mutex)!) }
    /// Where the crew waits for work.
    var work: Condition { Condition(at: state.pointer(to: \.work)!) }
    private var watch: Condition { Condition(at: state.pointer(to: \.watch)!) }
    var done: Condition { Condition(at: state.pointer(to: \.done)!) }

    // MARK: Leading

    /// Writes out the leaves that `gather` names, and waits for those of them that other threads are writing out.
    /// - Parameter passingOverReserved: Leave alone what a zero or trim has reserved. For the watch, which has other
    ///   images to look after.
    /// - Parameter effort: What is done for pages that are known to be bad.
    /// - Parameter gather: Puts keys of leaves into the buffer and returns how many.
    /// - Returns: How many leaves there were, and the first error.
    func writeOut(
        _ provider: Provider, passingOverReserved: Bool = false, _ effort: WriteBatch.Effort = .again,
        gather: (UnsafeMutableBufferPointer<UInt64>) -> Int
    ) -> (leaves: Int, error: AccessError?) {
        var few = InlineArray<32, UInt64>(repeating: 0)
        var span = few.mutableSpan
        let done = span.withUnsafeMutableBufferPointer {
            writeOutFew(provider, passingOverReserved, effort, $0, gather)
        }
        return done ?? writeOutMany(provider, passingOverReserved, effort, gather)
    }

    /// A write-out of so few leaves that help would cost more than it saves. It serves a client that flushes after each
    /// write.
    /// - Returns: Nil if there are more leaves.
    private func writeOutFew(
        _ provider: Provider, _ passingOverReserved: Bool, _ effort: WriteBatch.Effort,
        _ buffer: UnsafeMutableBufferPointer<UInt64>, _ gather: (UnsafeMutableBufferPointer<UInt64>) -> Int
    ) -> (leaves: Int, error: AccessError?)? {
        let count = gather(buffer)
        guard count < buffer.count else { return nil }
        buffer.prefix(count).sortInPlace()
        let keys = UnsafeBufferPointer(rebasing: buffer[0..<count])
        guard count > 0 else { return (0, nil) }
        let (_, error) = provider.mapper.writeOut(
            leaves: keys, passingOverReserved: passingOverReserved, effort)
        for key in keys { provider.mapper.waitForWriteback(ofLeaf: key) }
        return (count, error)
    }

    private func writeOutMany(
        _ provider: Provider, _ passingOverReserved: Bool, _ effort: WriteBatch.Effort,
        _ gather: (UnsafeMutableBufferPointer<UInt64>) -> Int
    ) -> (leaves: Int, error: AccessError?) {
        let slot = take(for: provider)
        let buffer = UnsafeMutableBufferPointer(start: keys + slot * capacity, count: capacity)
        let count = gather(buffer)
        buffer.prefix(count).sortInPlace()
        provider.mapper.context.pace.beginWriteOut()
        open(slot, provider, effort, count)
        while let claim = claim(in: slot) { carryOut(claim, of: provider, in: slot) }
        var lateError: AccessError?
        let hasPassedOver = waitForHelpers(slot)
        provider.mapper.context.pace.endWriteOut()
        if hasPassedOver, !passingOverReserved {
            // Helpers leave alone what a zero or trim has reserved. Only the leader waits for that.
            lateError = provider.mapper.writeOut(leaves: UnsafeBufferPointer(rebasing: buffer[..<count]), effort).error
        }
        for key in buffer.prefix(count) { provider.mapper.waitForWriteback(ofLeaf: key) }
        return (count, close(slot) ?? lateError)
    }

    private func take(for provider: Provider) -> Int {
        lock.lock()
        defer { lock.unlock() }
        while true {
            if let slot = freeSlotLocked(for: provider.image) {
                state.pointee.slots[slot] = Slot(isTaken: true, image: provider.image)
                return slot
            }
            done.wait(lock)
        }
    }

    /// A free slot, unless the image has its share of the slots already.
    private func freeSlotLocked(for image: UInt16) -> Int? {
        var free: Int?
        var taken = 0
        for slot in 0..<WritebackQueue.slotCount {
            if !state.pointee.slots[slot].isTaken {
                free = free ?? slot
            } else if state.pointee.slots[slot].image == image {
                taken += 1
            }
        }
        return taken < state.pointee.maxSlotsOfImage ? free : nil
    }

    private func open(_ slot: Int, _ provider: Provider, _ effort: WriteBatch.Effort, _ count: Int) {
        lock.lock()
        state.pointee.slots[slot].provider = Unmanaged.passUnretained(provider)
        state.pointee.slots[slot].effort = effort
        state.pointee.slots[slot].count = count
        // The leader has the first claim. Only as many helpers are woken as there may be further claims.
        if count > 2 * WritebackQueue.leavesOfClaim {
            work.wakeAll()
        } else if count > WritebackQueue.leavesOfClaim {
            work.wakeOne()
        }
        lock.unlock()
    }

    /// Waits until no worker is left.
    /// - Returns: Whether something was left alone.
    private func waitForHelpers(_ slot: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        while state.pointee.slots[slot].workers > 0 { done.wait(lock) }
        return state.pointee.slots[slot].hasPassedOver
    }

    /// Frees the slot, in which nothing is left to do.
    /// - Returns: The first error of its workers, or nil.
    private func close(_ slot: Int) -> AccessError? {
        lock.lock()
        defer { lock.unlock() }
        assert(state.pointee.slots[slot].workers == 0, "the leader has waited for its helpers")
        assert(state.pointee.slots[slot].next == state.pointee.slots[slot].count, "all leaves have been claimed")
        let error = state.pointee.slots[slot].error
        state.pointee.slots[slot] = Slot()
        done.wakeAll()
        return error == 0 ? nil : AccessError(error)
    }

    // MARK: Working

    /// The leaves that one thread writes out: indices of the slot's keys.
    private typealias Claim = Range<Int>

    /// Claims the next leaves of the slot; nil if all are claimed.
    private func claim(in slot: Int) -> Claim? {
        lock.lock()
        defer { lock.unlock() }
        return claimLocked(in: slot)
    }

    /// The same, with the lock held.
    private func claimLocked(in slot: Int) -> Claim? {
        let open = state.pointee.slots[slot]
        guard open.next < open.count else { return nil }
        let keys = keys + slot * capacity
        var end = min(open.next + WritebackQueue.leavesOfClaim, open.count)
        let maxEnd = min(open.next + WritebackQueue.maxLeavesOfClaim, open.count)
        while end < maxEnd, keys[end] == keys[end - 1] + 1 { end += 1 }
        state.pointee.slots[slot].next = end
        state.pointee.slots[slot].workers += 1
        return open.next..<end
    }

    /// Writes out a claim, except for what a zero or trim has reserved. The thread counts as a worker until it ends.
    private func carryOut(_ claim: Claim, of provider: Provider, in slot: Int) {
        let keys = keys + slot * capacity
        let effort = lock.withLock { state.pointee.slots[slot].effort }
        let (hasPassedOver, error) = provider.mapper.writeOut(
            leaves: UnsafeBufferPointer(start: keys + claim.lowerBound, count: claim.count), passingOverReserved: true,
            effort)
        lock.lock()
        if hasPassedOver { state.pointee.slots[slot].hasPassedOver = true }
        if let error, state.pointee.slots[slot].error == 0 { state.pointee.slots[slot].error = error.code }
        state.pointee.slots[slot].workers -= 1
        if state.pointee.slots[slot].workers == 0 { done.wakeAll() }
        lock.unlock()
    }

    // MARK: The crew

    /// What a thread of the crew has to do next.
    enum Task {
        case end
        /// It has helped with a write-out.
        case helped
        /// Look after this image, and then call `endLookingAfter` and `endWork`.
        case lookAfter(Provider)
    }

    /// Helps with an open write-out, or takes an image to look after. Sleeps until there is something to do.
    func help() -> Task {
        lock.lock()
        while !state.pointee.isStopping {
            if let (slot, claim, provider, image) = claimLocked() {
                lock.unlock()
                // The leader waits for this claim, so the Provider stays alive.
                provider._withUnsafeGuaranteedRef { carryOut(claim, of: $0, in: slot) }
                endWork(for: image)
                return .helped
            }
            if let provider = takePostLocked() {
                lock.unlock()
                return .lookAfter(provider)
            }
            work.wait(lock)
        }
        lock.unlock()
        return .end
    }

    /// A claim in any slot whose image may have one more thread of the crew, which is counted.
    private func claimLocked() -> (slot: Int, claim: Claim, provider: Unmanaged<Provider>, image: UInt16)? {
        for slot in 0..<WritebackQueue.slotCount {
            guard let provider = state.pointee.slots[slot].provider else { continue }
            let image = state.pointee.slots[slot].image
            guard mayWorkLocked(for: Int(image)), let claim = claimLocked(in: slot) else { continue }
            state.pointee.images[Int(image)].crew += 1
            return (slot, claim, provider, image)
        }
        return nil
    }

    /// Whether one more thread of the crew may work for the image.
    func mayWorkLocked(for image: Int) -> Bool {
        state.pointee.images[image].crew < state.pointee.maxCrewOfImage
    }

    /// A thread of the crew works for the image no more. Others may.
    func endWork(for image: UInt16) {
        lock.lock()
        state.pointee.images[Int(image)].crew -= 1
        assert(state.pointee.images[Int(image)].crew >= 0, "who ends work has begun it")
        if state.pointee.postCount > 0 || state.pointee.images[Int(image)].crew + 1 == state.pointee.maxCrewOfImage {
            work.wakeOne()
        }
        lock.unlock()
    }

    /// Sleeps until a kick asks for write-back, or for at most `milliseconds`.
    /// - Returns: False if the crew has to end.
    func waitForKick(milliseconds: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let isKicked = kicked.pointee.isSet.load(ordering: .sequentiallyConsistent)
        if !isKicked, !state.pointee.isStopping { watch.wait(lock, milliseconds: milliseconds) }
        kicked.pointee.isSet.store(false, ordering: .sequentiallyConsistent)
        return !state.pointee.isStopping
    }

    /// Asks for write-back, because much is dirty. While the watch has not looked since the last kick, a kick costs one
    /// load.
    @inline(__always)
    func kick() {
        if !kicked.pointee.isSet.load(ordering: .sequentiallyConsistent) { wakeWatch() }
    }

    @inline(never)
    private func wakeWatch() {
        lock.lock()
        if !kicked.pointee.isSet.exchange(true, ordering: .sequentiallyConsistent) { watch.wakeOne() }
        lock.unlock()
    }

    /// Tells the crew to end.
    func stop() {
        lock.lock()
        state.pointee.isStopping = true
        work.wakeAll()
        watch.wakeAll()
        lock.unlock()
    }
}
