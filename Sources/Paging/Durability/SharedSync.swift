import Glibc

/// The syncs of one image: who wants one while one is under way shares the next with all who want it by then.
///
/// A sync that a caller shares has begun after the call, and so after the write-outs that the caller has waited for: it
/// covers them. Nobody waits for more than two.
///
/// Thread rules: any thread; who waits here holds nothing. `lock` is innermost and is not held across
/// the sync itself.
struct SharedSync: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>

    /// How long who waits sleeps before looking again, milliseconds.
    private static let maxSleep = 1000

    private struct State {
        /// Syncs begun and ended since the image was opened. Before the mutex: see Shard.
        var begun: UInt64 = 0
        var ended: UInt64 = 0
        /// The last sync that failed, and how.
        var lastFailed: UInt64 = 0
        var failure: Int32 = 0
        /// Syncs that failed, counted when what they lost is dirty again.
        var failureCount: UInt64 = 0
        var mutex = pthread_mutex_t()
        /// Where those wait who want the next sync of an even number, and those of an odd one: the end of a sync wakes
        /// all who wanted that one, and one of the others, who is to lead the next.
        var even = pthread_cond_t()
        var odd = pthread_cond_t()
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        _ = Lock(in: state.pointer(to: \.mutex)!)
        _ = Condition(in: state.pointer(to: \.even)!)
        _ = Condition(in: state.pointer(to: \.odd)!)
    }

    func destroy() {
        pthread_cond_destroy(state.pointer(to: \.odd)!)
        pthread_cond_destroy(state.pointer(to: \.even)!)
        pthread_mutex_destroy(state.pointer(to: \.mutex)!)
        state.deallocate()
    }

    private var lock: Lock { Lock(at: state.pointer(to: \.mutex)!) }

    /// Where those wait who want sync `number`.
    private func condition(_ number: UInt64) -> Condition {
        Condition(at: number & 1 == 0 ? state.pointer(to: \.even)! : state.pointer(to: \.odd)!)
    }

    /// Syncs that failed so far.
    var failureCount: UInt64 { lock.withLock { state.pointee.failureCount } }

    /// Returns after a sync that began after the call has ended.
    /// - Parameter since: What `failureCount` was before the caller began to write out what it wants durable: a sync
    ///   that has failed since then has made some of that dirty again.
    /// - Parameter sync: Does it; called by the one of the sharers who leads.
    /// - Throws: Its error, to all sharers.
    func share(since: UInt64? = nil, _ sync: () -> AccessError?) throws(AccessError) {
        lock.lock()
        let takesPart = Flaw.lateJoin.isPlanted && state.pointee.begun > state.pointee.ended
        let wanted = state.pointee.begun + (takesPart ? 0 : 1)
        while state.pointee.ended < wanted {
            if state.pointee.begun == state.pointee.ended {
                lead(sync)
            } else {
                // Not for ever: the signal that names the next leader can be lost to another waiter (glibc bug 25847).
                condition(wanted).wait(lock, milliseconds: SharedSync.maxSleep)
                if Flaw.ifForWhile.isPlanted { break }
            }
        }
        // A later failure counts too: what it lost was in part ours to keep.
        let hasFailed = state.pointee.lastFailed >= wanted || (since != nil && since != state.pointee.failureCount)
        let failure = hasFailed ? state.pointee.failure : 0
        lock.unlock()
        if failure != 0 { throw AccessError(failure) }
    }

    private func lead(_ sync: () -> AccessError?) {
        state.pointee.begun += 1
        lock.unlock()
        let error = sync()
        lock.lock()
        state.pointee.ended = state.pointee.begun
        if let error {
            state.pointee.lastFailed = state.pointee.ended
            state.pointee.failure = error.code
            state.pointee.failureCount += 1
        }
        let ended = state.pointee.ended
        // Not under the lock, which all who wake up take first. First who leads the next: what it does takes longest.
        lock.unlock()
        condition(ended + 1).wakeOne()
        condition(ended).wakeAll()
        lock.lock()
    }
}
