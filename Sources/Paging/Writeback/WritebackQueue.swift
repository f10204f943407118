import Glibc
import Synchronization

/// The write-outs under way: each writes out many dirty leaves of one image in the order of their offsets, with as many
/// threads as come to help.
///
///     free ── take ──▶ taken ── open (leaves gathered, sorted) ──▶ open ── all claimed and ended ──▶ free
///
/// Who needs data written out leads a write-out: it gathers the leaves into a slot, claims runs of them until none is
/// left, and waits for its helpers. The crew of the Writeback helps with whatever is open. The slots and their room for
/// leaves are preallocated and few; a write-out of more leaves is done in parts.
///
/// Thread rules: any thread; who waits here holds nothing. `lock` is innermost and is not held while
/// leaves are gathered or written.
struct WritebackQueue: @unchecked Sendable {
    /// How many write-outs can be under way at once, of all images.
    static let slotCount = 4
    /// Leaves that are worth another thread's help.
    private static let leavesOfClaim = 32
    /// Most leaves that are claimed at once, if they are side by side: 1 MiB.
    private static let maxLeavesOfClaim = 64

    private let keys: UnsafeMutablePointer<UInt64>
    private let capacity: Int
    private let pace: DiskPace
    private let state: UnsafeMutablePointer<State>
    private let kicked: UnsafeMutablePointer<Kick>

    /// Looked at by every writer while there is much that is dirty, so without the lock.
    private struct Kick: ~Copyable {
        let isSet = Atomic<Bool>(false)
    }

    private struct State {
        var isStopping = false
        /// Not first: see Shard.
        var mutex = pthread_mutex_t()
        /// The crew waits here for work, and the one of them that keeps watch for a kick.
        var work = pthread_cond_t()
        var watch = pthread_cond_t()
        /// Leaders wait here for their helpers, and for slots.
        var done = pthread_cond_t()
        var slots = InlineArray<4, Slot>(repeating: Slot())
    }

    private struct Slot {
        var isTaken = false
        var provider: Unmanaged<Provider>?
        var effort = WriteBatch.Effort.again
        var count = 0
        var next = 0
        var workers = 0
        var error: Int32 = 0
        /// Somebody has left alone what a zero or trim had reserved.
        var hasPassedOver = false
    }

    /// Leaves that a slot has room for.
    static func capacity(frames: Int) -> Int { frames / slotCount + 16 }

    /// - Parameter pace: Told when the disk is kept busy.
    init(_ metadata: borrowing Metadata, _ pace: DiskPace) {
        self.pace = pace
        keys = metadata.writebackKeys
        capacity = WritebackQueue.capacity(frames: metadata.frames)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
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
        state.deallocate()
    }

    private var lock: Lock { Lock(at: state.pointer(to: \.mutex)!) }
    private var work: Condition { Condition(at: state.pointer(to: \.work)!) }
    private var watch: Condition { Condition(at: state.pointer(to: \.watch)!) }
    private var done: Condition { Condition(at: state.pointer(to: \.done)!) }

    // MARK: Leading

    /// Writes out the leaves that `gather` names, and waits for those of them that others are writing out.
    /// - Parameter passingOverReserved: Leave alone what a zero or trim has reserved: for who has others to look after.
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

    /// A write-out of so few leaves that nobody's help is worth its price: what a client that flushes after each write
    /// wants.
    /// - Returns: Nil where there are more.
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
        let slot = take()
        let buffer = UnsafeMutableBufferPointer(start: keys + slot * capacity, count: capacity)
        let count = gather(buffer)
        buffer.prefix(count).sortInPlace()
        pace.beginWriteOut()
        open(slot, provider, effort, count)
        while let claim = claim(in: slot) { carryOut(claim, of: provider, in: slot) }
        var lateError: AccessError?
        let hasPassedOver = waitForHelpers(slot)
        pace.endWriteOut()
        if hasPassedOver, !passingOverReserved {
            // What was left alone a zero or trim has reserved: only who leads waits for that.
            lateError = provider.mapper.writeOut(leaves: UnsafeBufferPointer(rebasing: buffer[..<count]), effort).error
        }
        for key in buffer.prefix(count) { provider.mapper.waitForWriteback(ofLeaf: key) }
        return (count, close(slot) ?? lateError)
    }

    private func take() -> Int {
        lock.lock()
        defer { lock.unlock() }
        while true {
            for slot in 0..<WritebackQueue.slotCount where !state.pointee.slots[slot].isTaken {
                state.pointee.slots[slot] = Slot(isTaken: true)
                return slot
            }
            done.wait(lock)
        }
    }

    private func open(_ slot: Int, _ provider: Provider, _ effort: WriteBatch.Effort, _ count: Int) {
        lock.lock()
        state.pointee.slots[slot].provider = Unmanaged.passUnretained(provider)
        state.pointee.slots[slot].effort = effort
        state.pointee.slots[slot].count = count
        // Who leads has the first claim. More threads than there are other claims would wake up for nothing.
        if count > 2 * WritebackQueue.leavesOfClaim {
            work.wakeAll()
        } else if count > WritebackQueue.leavesOfClaim {
            work.wakeOne()
        }
        lock.unlock()
    }

    /// - Returns: Whether something was left alone.
    private func waitForHelpers(_ slot: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        while state.pointee.slots[slot].workers > 0 { done.wait(lock) }
        return state.pointee.slots[slot].hasPassedOver
    }

    private func close(_ slot: Int) -> AccessError? {
        lock.lock()
        defer { lock.unlock() }
        let error = state.pointee.slots[slot].error
        state.pointee.slots[slot] = Slot()
        done.wakeAll()
        return error == 0 ? nil : AccessError(error)
    }

    // MARK: Working

    /// Leaves that one thread writes out: indices of the slot's keys.
    private typealias Claim = Range<Int>

    /// The next leaves of the slot that nobody has claimed, or nil where all are.
    private func claim(in slot: Int) -> Claim? {
        lock.lock()
        defer { lock.unlock() }
        return claimLocked(in: slot)
    }

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

    /// Writes out a claim, which counts as a worker, but for what a zero or trim has reserved.
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

    /// Helps with open write-outs until there are none, then sleeps until there may be one again.
    /// - Returns: False when the crew is to go home.
    func help() -> Bool {
        lock.lock()
        while !state.pointee.isStopping {
            for slot in 0..<WritebackQueue.slotCount {
                guard let provider = state.pointee.slots[slot].provider, let claim = claimLocked(in: slot) else {
                    continue
                }
                lock.unlock()
                // Its leader waits for this claim, so the Provider is there.
                provider._withUnsafeGuaranteedRef { carryOut(claim, of: $0, in: slot) }
                return true
            }
            work.wait(lock)
        }
        lock.unlock()
        return false
    }

    /// Sleeps until somebody wants write-back to begin, or for `milliseconds`.
    /// - Returns: False when the crew is to go home.
    func waitForKick(milliseconds: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let isKicked = kicked.pointee.isSet.load(ordering: .sequentiallyConsistent)
        if !isKicked, !state.pointee.isStopping { watch.wait(lock, milliseconds: milliseconds) }
        kicked.pointee.isSet.store(false, ordering: .sequentiallyConsistent)
        return !state.pointee.isStopping
    }

    /// Write-back should begin: there is much that is dirty. Costs a load while the watch has not looked since the last
    /// kick.
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

    /// Sends the crew home.
    func stop() {
        lock.lock()
        state.pointee.isStopping = true
        work.wakeAll()
        watch.wakeAll()
        lock.unlock()
    }
}

extension Slice<UnsafeMutableBufferPointer<UInt64>> {
    /// Sorts in place and allocates nothing, as the library's sort does (heapsort: Williams, CACM 7(6), 1964).
    /// O(count log count).
    fileprivate func sortInPlace() {
        let keys = UnsafeMutableBufferPointer(rebasing: self)
        for root in stride(from: keys.count / 2 - 1, through: 0, by: -1) { keys.siftDown(root, keys.count) }
        for end in stride(from: keys.count - 1, to: 0, by: -1) {
            keys.swapAt(0, end)
            keys.siftDown(0, end)
        }
    }
}

extension UnsafeMutableBufferPointer<UInt64> {
    fileprivate func siftDown(_ root: Int, _ end: Int) {
        var root = root
        while 2 * root + 1 < end {
            var child = 2 * root + 1
            if child + 1 < end, self[child] < self[child + 1] { child += 1 }
            if self[root] >= self[child] { return }
            swapAt(root, child)
            root = child
        }
    }
}
