import Glibc
import Synchronization

/// Where requests sleep that got no memory, until there may be some. Those that wait for their image's share of fills
/// have a place of their own (`FillShare`): they want no memory of others, and no other image's requests wake them.
///
/// There may be memory when a Region is freed, a page is queued, the last pin on a page goes, or a page becomes clean.
/// The thread that does this calls `wake`, which costs one load while nobody waits. A thread that is about to sleep
/// first announces itself with `begin`, then tries once more, and only then sleeps. So no wake-up is lost.
///
/// No thread sleeps here with a loan, a Region or an unissued fill (invariant 9). `lock` is an innermost one.
struct MemoryWaiters: @unchecked Sendable {
    private let lock: Lock
    private let condition: Condition
    private let state: UnsafeMutablePointer<State>
    /// Where the lock and the condition lie, if not among the tables.
    private let room: UnsafeMutablePointer<Room>?

    private struct Room {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
    }

    private struct State: ~Copyable {
        /// Counts wake-ups, so that one between `begin` and `sleep` is seen. Under `lock`; first, because changing it
        /// in place counts as a change of the first byte to the thread sanitizer, and `waiting` is used unlocked.
        var wakeups: UInt64 = 0
        let waiting = Atomic<UInt32>(0)
    }

    init(_ metadata: borrowing Metadata) {
        lock = Lock(in: metadata.mutex(.waiters))
        condition = Condition(in: metadata.conditions)
        room = nil
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    /// With a lock and a condition of its own.
    init() {
        let room = UnsafeMutablePointer<Room>.allocate(capacity: 1)
        room.initialize(to: Room())
        lock = Lock(in: room.pointer(to: \.mutex)!)
        condition = Condition(in: room.pointer(to: \.condition)!)
        self.room = room
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        if let room {
            pthread_cond_destroy(room.pointer(to: \.condition)!)
            pthread_mutex_destroy(room.pointer(to: \.mutex)!)
            room.deallocate()
        }
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Announces that the caller is about to try a last time and then to sleep. `sleep` or `end` must follow. No lock
    /// is held.
    func begin() -> UInt64 {
        LockRank.assertNoneHeld("memory is waited for (invariant 9)")
        if !Flaw.lateAnnouncement.isPlanted { announce() }
        return lock.withLock { state.pointee.wakeups }
    }

    private func announce() {
        state.pointee.waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        // What the caller looks at next must not have been read before the announcement.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Takes the announcement back.
    func end() {
        if !Flaw.lateAnnouncement.isPlanted { takeBack() }
    }

    private func takeBack() { state.pointee.waiting.wrappingSubtract(1, ordering: .relaxed) }

    /// Sleeps until something has been freed since `begin` returned `ticket`.
    func sleep(_ ticket: UInt64) {
        if Flaw.lateAnnouncement.isPlanted { announce() }
        lock.lock()
        while state.pointee.wakeups == ticket { condition.wait(lock) }
        lock.unlock()
        takeBack()
    }

    /// Whether a thread waits. It is exact after a sequentially consistent change of what the threads wait for.
    @inline(__always)
    var isAnyoneWaiting: Bool { state.pointee.waiting.load(ordering: .sequentiallyConsistent) != 0 }

    /// There may be memory now.
    @inline(__always)
    func wake() {
        if isAnyoneWaiting { wakeAll() }
    }

    @inline(never)
    private func wakeAll() {
        lock.lock()
        state.pointee.wakeups += 1
        condition.wakeAll()
        lock.unlock()
    }
}
