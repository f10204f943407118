import Glibc
import Synchronization

/// Of one image: keeps its part of the DirtyLimit at what the FlushBudget allows. It reports to the budget what the
/// image's disk does, and sets the limit.
///
/// Write-outs and syncs report their beginnings and ends. Writers look in while much is dirty, at most ten times a
/// second, so that a disk that does nothing at all is noticed. A writer that waits for room need not look, because the
/// room only gets less.
///
/// Thread rules: any thread, no lock held; its own is innermost. Without a flush time it does nothing.
struct DiskPace: @unchecked Sendable {
    private let dirtyLimit: DirtyLimit
    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>?

    /// The time between two looks of writers, seconds.
    private static let interval = 0.1

    private struct State: ~Copyable {
        /// Guarded by `monitor`. It comes before the atomic, which is used without the lock.
        var budget: FlushBudget
        /// When the next look is due, microseconds.
        let nextLook = Atomic<Int>(0)
    }

    /// - Parameter flushTime: Milliseconds that a flush may take, or nil if that does not matter.
    init(_ dirtyLimit: DirtyLimit, flushTime: Int?) {
        self.dirtyLimit = dirtyLimit
        guard let flushTime else {
            state = nil
            return
        }
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        state.initialize(to: State(budget: FlushBudget(flushTime: Double(flushTime) / 1000)))
        self.state = state
        _ = dirtyLimit.allow(state.pointee.budget.pages(unsynced: 0, at: 0))
    }

    func destroy() {
        monitor.destroy()
        state?.deinitialize(count: 1)
        state?.deallocate()
    }

    func beginWriteOut() { change { $0.beginWriteOut(at: $1, written: dirtyLimit.written) } }
    func endWriteOut() { change { $0.endWriteOut(at: $1, written: dirtyLimit.written) } }

    /// Runs `sync`, which makes `pages` base pages durable, and measures it.
    func sync(_ pages: Int, _ sync: () throws(AccessError) -> Void) throws(AccessError) {
        change { $0.beginSync(at: $1) }
        do throws(AccessError) {
            try sync()
        } catch {
            change { $0.endSync(at: $1, pages: pages, isGood: false) }
            throw error
        }
        change { $0.endSync(at: $1, pages: pages, isGood: true) }
    }

    /// Whether what is written out and not durable should be synced.
    var isSyncDue: Bool {
        guard let state else { return false }
        return monitor.withLock { state.pointee.budget.isSyncDue(unsynced: dirtyLimit.unsynced) }
    }

    /// Reports to the budget what the disk has written out, unless a thread has done so in the last tenth of a second.
    func look() {
        guard let state else { return }
        let now = Int(MonotonicClock.seconds * 1e6)
        let due = state.pointee.nextLook.load(ordering: .relaxed)
        guard now >= due else { return }
        let next = now + Int(DiskPace.interval * 1e6)
        if state.pointee.nextLook.compareExchange(expected: due, desired: next, ordering: .relaxed).exchanged {
            change { $0.note($1, dirtyLimit.written) }
        }
    }

    private func change(_ body: (inout FlushBudget, Double) -> Void) {
        guard let state else { return }
        let isMore = monitor.withLock {
            let now = MonotonicClock.seconds
            body(&state.pointee.budget, now)
            return dirtyLimit.allow(state.pointee.budget.pages(unsynced: dirtyLimit.unsynced, at: now))
        }
        if isMore { dirtyLimit.wakeWaiters() }
    }
}
