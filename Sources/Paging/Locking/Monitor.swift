import Glibc

/// A lock and a condition to sleep at, in memory of their own, for code that no hit runs.
///
/// A copy is the same monitor. `destroy` ends it, once no thread uses it any more.
struct Monitor: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>

    private struct State {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
    }

    private let rank: LockRank

    init(_ rank: LockRank = .innermost) {
        self.rank = rank
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        _ = Lock(in: state.pointer(to: \.mutex)!)
        _ = Condition(in: state.pointer(to: \.condition)!)
    }

    func destroy() {
        pthread_cond_destroy(state.pointer(to: \.condition)!)
        pthread_mutex_destroy(state.pointer(to: \.mutex)!)
        state.deallocate()
    }

    private var guardian: Lock { Lock(at: state.pointer(to: \.mutex)!, rank) }
    private var condition: Condition { Condition(at: state.pointer(to: \.condition)!) }

    func lock() { guardian.lock() }
    func unlock() { guardian.unlock() }
    /// Ends the process if the calling thread holds no lock of this rank. For debug builds.
    func assertHeld() { guardian.assertHeld() }
    func withLock<Result>(_ body: () -> Result) -> Result { guardian.withLock(body) }

    /// Gives up the lock, sleeps until woken, and takes the lock again.
    func wait() { condition.wait(guardian) }
    /// The same, for at most `milliseconds`.
    func wait(milliseconds: Int) { condition.wait(guardian, milliseconds: milliseconds) }
    func wakeAll() { condition.wakeAll() }
}
