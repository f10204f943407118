import Glibc
import Synchronization

/// How many base pages are dirty or being written out, over all images, and the limit at which writers wait.
///
/// A writer is admitted for base pages before it takes any loan, and gives back those that were dirty already. So dirty
/// pages never exceed the limit, and the rest of the Memory serves reads. A writer is admitted in parts: for as many
/// pages as there is room for, at least one. No writer passes those that wait: see AdmissionQueue.
///
/// Thread rules: any thread; a writer that waits here holds nothing (invariant 9). While no writer waits, an admission
/// costs one atomic exchange, and giving back costs one addition.
struct DirtyLimit: @unchecked Sendable {
    private let queue: AdmissionQueue
    private let state: UnsafeMutablePointer<State>
    /// The number of dirty base pages at which writers wait, however fast the disk is.
    let limit: Int

    private struct State: ~Copyable {
        let pages = Atomic<Int>(0)
        /// The limit of `pages` at present.
        let allowed: Atomic<Int>
        /// Base pages written out so far, and those of them that are not known to be durable.
        let written = Atomic<Int>(0)
        let unsynced = Atomic<Int>(0)
        /// Leaves that are dirty, those of them whose write-out failed, and the error of the last of these.
        let dirtyLeaves = Atomic<Int>(0)
        let failedLeaves = Atomic<Int>(0)
        let error = Atomic<Int32>(0)

        init(limit: Int) { allowed = Atomic(limit) }
    }

    /// - Parameter limit: Base pages, at least one.
    init(limit: Int, _ metadata: borrowing Metadata) {
        self.limit = max(1, limit)
        queue = AdmissionQueue(mutex: metadata.mutex(.admission))
        state = .allocate(capacity: 1)
        state.initialize(to: State(limit: self.limit))
    }

    func destroy() {
        queue.destroy()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Base pages that are dirty, going out, or admitted.
    var pages: Int { state.pointee.pages.load(ordering: .relaxed) }

    /// The number of dirty base pages at which writers wait now: `limit`, or less if the disk is slow. See FlushBudget.
    @inline(__always)
    var allowed: Int { state.pointee.allowed.load(ordering: .relaxed) }

    /// The number of dirty base pages above which write-back begins by itself.
    @inline(__always)
    var backgroundTarget: Int { allowed / 2 }

    /// Whether write-back should be under way.
    @inline(__always)
    var isAboveTarget: Bool { pages > backgroundTarget }

    /// How many times a writer has waited at the limit.
    var waits: UInt64 { queue.arrivals }

    // MARK: Admitting

    /// The turn of a write that begins now. Writers that came to wait before it are served before it.
    @inline(__always)
    var turn: UInt64 { queue.turn }

    /// Admits up to `count` base pages at once.
    /// - Returns: How many: 0 if there is no room, or another writer waits for it already.
    @inline(__always)
    func admit(_ count: Int) -> Int { queue.isEmpty ? take(count) : 0 }

    /// Sleeps until some of `count` base pages are admitted.
    /// - Parameter turn: What `turn` was when the write began.
    /// - Parameter reasonToGiveUp: Why there is nothing to wait for, or nil. Called before each sleep, with no lock
    ///   held.
    /// - Returns: How many are admitted, at least one.
    func waitToAdmit(_ count: Int, turn: UInt64, reasonToGiveUp: () -> AccessError?) throws(AccessError) -> Int {
        try queue.waitForTurn(turn, wanting: count, serve: { queue.serve(take) }, reasonToGiveUp: reasonToGiveUp)
    }

    /// Takes up to `count` base pages, as far as there is room.
    @inline(__always)
    private func take(_ count: Int) -> Int {
        var before = state.pointee.pages.load(ordering: .sequentiallyConsistent)
        while true {
            let part = min(count, allowed - before)
            guard part > 0 else { return 0 }
            let (exchanged, original) = state.pointee.pages.weakCompareExchange(
                expected: before, desired: before + part, ordering: .sequentiallyConsistent)
            if exchanged { return part }
            before = original
        }
    }

    // MARK: Making room

    /// `count` base pages are not dirty any more, or were admitted and not dirtied.
    @inline(__always)
    func release(_ count: Int) {
        assert(count >= 0, "no number of pages is negative")
        guard count > 0 else { return }
        subtract(count)
        wakeWaiters()
    }

    /// `count` base pages have been written out. The caller calls `wakeWaiters` when the whole batch has ended, so that
    /// waiting writers are admitted for all its room at once.
    func wroteOut(_ count: Int) {
        state.pointee.written.wrappingAdd(count, ordering: .relaxed)
        subtract(count)
    }

    @inline(__always)
    private func subtract(_ count: Int) {
        let before = state.pointee.pages.wrappingSubtract(count, ordering: .sequentiallyConsistent).oldValue
        assert(before >= count, "no more is released than was admitted")
    }

    /// From now on `pages` may be dirty, or `limit` if that is less.
    /// - Returns: Whether that is more than before. Then the caller calls `wakeWaiters`.
    func allow(_ pages: Int) -> Bool {
        let allowed = min(pages, limit)
        return state.pointee.allowed.exchange(allowed, ordering: .sequentiallyConsistent) < allowed
    }

    /// Admits waiting writers, if there are any, as far as there is room. If something cannot be written out, lets the
    /// others check whether anything still can.
    @inline(__always)
    func wakeWaiters() {
        if !queue.isEmpty { serveWaiters() }
    }

    @inline(never)
    private func serveWaiters() {
        queue.serve(take)
        if state.pointee.failedLeaves.load(ordering: .acquiring) > 0 { queue.wakeAll() }
    }

    /// `count` base pages are dirty again, whatever the limit.
    func add(_ count: Int) { state.pointee.pages.wrappingAdd(count, ordering: .sequentiallyConsistent) }

    // MARK: What has been written out, and what cannot be

    /// Base pages written out so far.
    var written: Int { state.pointee.written.load(ordering: .relaxed) }

    /// Base pages that are written out and not known to be durable.
    var unsynced: Int { max(0, state.pointee.unsynced.load(ordering: .relaxed)) }

    /// `pages` more (or fewer) base pages are written out and not durable.
    func countUnsynced(_ pages: Int) { state.pointee.unsynced.wrappingAdd(pages, ordering: .relaxed) }

    /// `count` more (or fewer) leaves are dirty.
    func countDirtyLeaves(_ count: Int) { state.pointee.dirtyLeaves.wrappingAdd(count, ordering: .relaxed) }

    /// `count` more (or fewer) dirty leaves have failed to be written out.
    /// - Parameter error: The error, if there are more.
    func countFailedLeaves(_ count: Int, _ error: AccessError?) {
        if let error { state.pointee.error.store(error.code, ordering: .relaxed) }
        state.pointee.failedLeaves.wrappingAdd(count, ordering: .sequentiallyConsistent)
    }

    /// Leaves that are dirty, and those of them whose write-out failed: for checks.
    var leaves: (dirty: Int, failed: Int) {
        (state.pointee.dirtyLeaves.load(ordering: .relaxed), state.pointee.failedLeaves.load(ordering: .relaxed))
    }

    /// The error that prevents every dirty leaf of every image from being written out, or nil if at least one has not
    /// failed.
    var stuck: AccessError? {
        let failed = state.pointee.failedLeaves.load(ordering: .sequentiallyConsistent)
        guard failed > 0, failed >= state.pointee.dirtyLeaves.load(ordering: .relaxed) else { return nil }
        return AccessError(state.pointee.error.load(ordering: .relaxed))
    }
}
