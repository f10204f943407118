import Glibc
import Synchronization

/// How many base pages are dirty or being written out, over all images, and the limit at which writers wait.
///
/// A writer is admitted for as many base pages as it may dirty before it takes any loan, and gives back what were dirty
/// already. So dirty pages never exceed the limit, and what is left of the Memory serves reads.
///
/// Thread rules: any thread. `lock` is a leaf of the lock order; a writer that waits here holds nothing (invariant 9).
struct DirtGauge: @unchecked Sendable {
    private let lock: Lock
    private let condition: Condition
    private let state: UnsafeMutablePointer<State>
    /// Base pages at which writers wait.
    let limit: Int
    /// Base pages above which write-back begins by itself.
    let backgroundTarget: Int

    private struct State: ~Copyable {
        let pages = Atomic<Int>(0)
        let waiting = Atomic<Int>(0)
        /// Leaves that are dirty, those of them whose write-out failed, and how the last of these did.
        let dirtyLeaves = Atomic<Int>(0)
        let failedLeaves = Atomic<Int>(0)
        let error = Atomic<Int32>(0)
    }

    /// - Parameter limit: Base pages, at least one.
    init(limit: Int, _ metadata: borrowing Metadata) {
        self.limit = max(1, limit)
        backgroundTarget = limit / 2
        lock = Lock(in: metadata.mutexes + 4)
        condition = Condition(in: metadata.conditions + 1)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Base pages that are dirty, going out, or admitted.
    var pages: Int { state.pointee.pages.load(ordering: .relaxed) }

    /// Whether write-back should be under way.
    @inline(__always)
    var isAboveTarget: Bool { pages > backgroundTarget }

    /// Admits `count` base pages if that does not pass the limit, or if nothing else is dirty.
    @inline(__always)
    func admit(_ count: Int) -> Bool {
        let before = state.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent).oldValue
        if before + count <= limit || before == 0 { return true }
        release(count)
        return false
    }

    /// So many base pages are not dirty any more, or were admitted and not dirtied.
    @inline(__always)
    func release(_ count: Int) {
        guard count > 0 else { return }
        state.pointee.pages.wrappingSubtract(count, ordering: .sequentiallyConsistent)
        if state.pointee.waiting.load(ordering: .sequentiallyConsistent) > 0 { wakeAll() }
    }

    /// So many base pages are dirty again, whatever the limit.
    func add(_ count: Int) { state.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent) }

    func countDirtyLeaves(_ count: Int) { state.pointee.dirtyLeaves.wrappingAdd(count, ordering: .relaxed) }

    func countFailedLeaves(_ count: Int, _ error: AccessError?) {
        if let error { state.pointee.error.store(error.code, ordering: .relaxed) }
        state.pointee.failedLeaves.wrappingAdd(count, ordering: .releasing)
    }

    /// Leaves that are dirty, and those of them whose write-out failed: for checks.
    var leaves: (dirty: Int, failed: Int) {
        (state.pointee.dirtyLeaves.load(ordering: .relaxed), state.pointee.failedLeaves.load(ordering: .relaxed))
    }

    /// Why nothing that is dirty can be written out, whose image's ever it is; nil while some of it can.
    var stuck: AccessError? {
        let failed = state.pointee.failedLeaves.load(ordering: .acquiring)
        guard failed > 0, failed >= state.pointee.dirtyLeaves.load(ordering: .relaxed) else { return nil }
        return AccessError(state.pointee.error.load(ordering: .relaxed))
    }

    /// Sleeps until `count` base pages are admitted, or until `giveUp`, looked at after each wake-up, says why not.
    /// - Returns: Nil if they are admitted.
    func waitToAdmit(_ count: Int, giveUp: () -> AccessError?) -> AccessError? {
        lock.lock()
        defer { lock.unlock() }
        state.pointee.waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { state.pointee.waiting.wrappingSubtract(1, ordering: .relaxed) }
        while true {
            let before = state.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent).oldValue
            if before + count <= limit || before == 0 { return nil }
            state.pointee.pages.wrappingSubtract(count, ordering: .sequentiallyConsistent)
            if let error = giveUp() { return error }
            condition.wait(lock)
        }
    }

    /// Wakes those who wait, if there are any, to look again.
    func wakeWaiters() {
        if state.pointee.waiting.load(ordering: .sequentiallyConsistent) > 0 { wakeAll() }
    }

    @inline(never)
    private func wakeAll() {
        lock.lock()
        condition.wakeAll()
        lock.unlock()
    }
}
