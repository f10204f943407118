import Glibc
import Synchronization

/// Where requests sleep that got no memory, until some may be had.
///
/// Memory may be had when a Region is freed, a page is queued, or the last pin on a page goes, or a page becomes clean;
/// whoever brings that about calls `wake`, which costs one load while nobody waits. So that no wake-up is lost, whoever
/// is about to sleep first announces itself with `begin`, then tries once more, and only then sleeps.
///
/// Nobody sleeps here with a loan, a Region or an unissued fill in hand (invariant 9). `lock` is innermost.
struct MemoryWaiters: @unchecked Sendable {
    private let lock: Lock
    private let condition: Condition
    private let state: UnsafeMutablePointer<State>

    private struct State: ~Copyable {
        /// Counts wake-ups, so that one between `begin` and `sleep` is seen. Under `lock`; first, because changing it
        /// in place counts as a change of the first byte to the thread sanitizer, and `waiting` is used unlocked.
        var wakeups: UInt64 = 0
        let waiting = Atomic<UInt32>(0)
    }

    init(_ metadata: borrowing Metadata) {
        lock = Lock(in: metadata.mutex(.waiters))
        condition = Condition(in: metadata.conditions)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Announces that the caller is about to try a last time and then to sleep. `sleep` or `end` must follow.
    func begin() -> UInt64 {
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

    /// Whether somebody waits. Exact after a sequentially consistent change of what they wait for.
    @inline(__always)
    var isAnyoneWaiting: Bool { state.pointee.waiting.load(ordering: .sequentiallyConsistent) != 0 }

    /// Something may be had now.
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
