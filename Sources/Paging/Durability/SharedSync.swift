import Glibc

/// Syncs of one image, or its flushes, which callers share. A caller that comes while one is under way takes part in
/// the next, with all others that come until then.
///
///     idle ── lead ──▶ under way ── ended, nobody waits ──▶ idle
///                      ▲     └───── ended: one of those that wait, or the helper, leads the next ──┐
///                      └───────────────────────────────────────────────────────────────────────────┘
///
/// The sync that a caller shares begins after the call. So it begins after the write-outs that the caller has waited
/// for, and covers them. No caller waits for more than two syncs.
///
/// A *helper*, a thread of its own, may lead syncs for callers that wait for the next one (`help`). Once there was one
/// to lead, the helper is *in charge*: callers that find no sync under way leave theirs to it, too. Otherwise such a
/// caller would lead one for itself alone, and all that come right after it would wait for that one and for the next.
///
///     no helper ── setHelped(true) ──▶ helper, callers lead ── a sync ends, and callers wait ──▶ helper in charge
///         ▲                                │     ▲                                                    │     │
///         │                                │     └──────── 16 syncs in a row with one caller each ────┘     │
///         └── setHelped(false), or nothing to do for `patience` ◀───────────────────────────────────────────┘
///
/// Thread rules: any thread; a thread that waits here holds nothing. `lock` is innermost and is not held across the
/// sync itself.
struct SharedSync: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>

    /// How long a waiting thread sleeps before it looks again, milliseconds.
    private static let maxSleep = 1000
    /// After this many syncs in a row for a single caller each, callers that find none under way lead by themselves. If
    /// the helper is in charge again by chance, one more such sync is enough, until one has several callers.
    private static let maxLonely = 16

    private struct State {
        /// Syncs begun and ended since the image was opened. They come before the mutex: see Shard.
        var begun: UInt64 = 0
        var ended: UInt64 = 0
        /// The number of the last sync that failed, and its error.
        var lastFailed: UInt64 = 0
        var failure: Int32 = 0
        /// The number of failed syncs. A sync is counted after what it failed to make durable is dirty again.
        var failureCount: UInt64 = 0
        var mutex = pthread_mutex_t()
        /// Where callers wait for the next sync with an even number, and for the next with an odd one. The end of a
        /// sync wakes all that wanted that one, and one of the others, which leads the next.
        var even = pthread_cond_t()
        var odd = pthread_cond_t()
        /// Where the helper sleeps.
        var help = pthread_cond_t()
        /// The helper leads when callers wait for the next sync.
        var isHelped = false
        /// The helper also leads for a caller that finds no sync under way.
        var isInCharge = false
        /// Callers that wait for the sync after the last one that has begun, and leave it to a helper if there is one.
        var nextCount = 0
        /// Those of the last sync that has begun.
        var roundCount = 0
        var isNextWanted: Bool { nextCount > 0 }
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        _ = Lock(in: state.pointer(to: \.mutex)!)
        _ = Condition(in: state.pointer(to: \.even)!)
        _ = Condition(in: state.pointer(to: \.odd)!)
        _ = Condition(in: state.pointer(to: \.help)!)
    }

    /// Frees it. No thread uses it any more.
    func destroy() {
        assert(state.pointee.begun == state.pointee.ended, "no sync is under way")
        pthread_cond_destroy(state.pointer(to: \.help)!)
        pthread_cond_destroy(state.pointer(to: \.odd)!)
        pthread_cond_destroy(state.pointer(to: \.even)!)
        pthread_mutex_destroy(state.pointer(to: \.mutex)!)
        state.deallocate()
    }

    private var lock: Lock { Lock(at: state.pointer(to: \.mutex)!) }

    /// Where callers wait that want sync `number`.
    private func condition(_ number: UInt64) -> Condition {
        Condition(at: number & 1 == 0 ? state.pointer(to: \.even)! : state.pointer(to: \.odd)!)
    }

    /// The number of failed syncs so far.
    var failureCount: UInt64 { lock.withLock { state.pointee.failureCount } }

    /// Returns when a sync that began after the call has ended.
    /// - Parameter since: What `failureCount` was before the caller began to write out what it wants durable. A sync
    ///   that has failed since then may have made some of that dirty again, so it fails the caller too.
    /// - Parameter byItself: The caller leaves nothing to a helper. It may still share what that does for others.
    /// - Parameter sync: Does the sync. The one caller that leads calls it, with no lock held.
    /// - Throws: The sync's error, to all callers that share it.
    func share(since: UInt64? = nil, byItself: Bool = false, _ sync: () -> AccessError?) throws(AccessError) {
        LockRank.assertNoneHeld()
        lock.lock()
        let takesPart = Flaw.lateJoin.isPlanted && state.pointee.begun > state.pointee.ended
        let wanted = state.pointee.begun + (takesPart ? 0 : 1)
        var isCounted = byItself
        while state.pointee.ended < wanted {
            let isIdle = state.pointee.begun == state.pointee.ended
            let isLeft = !byItself && state.pointee.isHelped && state.pointee.isInCharge
            if isIdle, !isLeft {
                lead(sync)
            } else {
                if !isCounted, wanted > state.pointee.begun { state.pointee.nextCount += 1 }
                isCounted = true
                if isIdle { help.wakeOne() }
                // Not for ever: the signal for the next leader can go to another waiter (glibc bug 25847).
                condition(wanted).wait(lock, milliseconds: SharedSync.maxSleep)
                if Flaw.ifForWhile.isPlanted { break }
            }
        }
        // A later failure counts too: it may have lost what this caller wants durable.
        let hasFailed = state.pointee.lastFailed >= wanted || (since != nil && since != state.pointee.failureCount)
        let failure = hasFailed ? state.pointee.failure : 0
        lock.unlock()
        if failure != 0 { throw AccessError(failure) }
    }

    /// Does the next sync. The lock is held before and after, and not during the sync.
    private func lead(_ sync: () -> AccessError?) {
        begin()
        lock.unlock()
        let error = sync()
        lock.lock()
        let ended = end(error)
        let isLeftToHelper = state.pointee.isHelped && state.pointee.isNextWanted
        if isLeftToHelper { state.pointee.isInCharge = true }
        // Wake without the lock, because every thread that wakes up takes it first. The next leader comes first: what
        // it does takes longest.
        lock.unlock()
        if isLeftToHelper { help.wakeOne() } else { condition(ended + 1).wakeOne() }
        condition(ended).wakeAll()
        lock.lock()
    }

    private func begin() {
        assert(state.pointee.begun == state.pointee.ended, "one sync at a time")
        state.pointee.begun += 1
        state.pointee.roundCount = state.pointee.nextCount
        state.pointee.nextCount = 0
    }

    private func end(_ error: AccessError?) -> UInt64 {
        if let error {
            state.pointee.lastFailed = state.pointee.begun
            state.pointee.failure = error.code
            state.pointee.failureCount += 1
        }
        state.pointee.ended = state.pointee.begun
        return state.pointee.ended
    }

    // MARK: A helper

    private var help: Condition { Condition(at: state.pointer(to: \.help)!) }

    /// Whether there is a helper.
    var isHelped: Bool { lock.withLock { state.pointee.isHelped } }

    /// For the one that leads, during its sync: whether callers that are not `byItself` share it.
    var leadsForOthers: Bool { lock.withLock { state.pointee.roundCount > 0 } }

    /// Whether callers wait for the next sync, and there is no helper to lead it.
    var wantsHelp: Bool { lock.withLock { state.pointee.isNextWanted && !state.pointee.isHelped } }

    /// Tells callers whether a thread calls `help` from now on. If not, one of those that wait leads the next sync.
    func setHelped(_ isHelped: Bool) {
        lock.withLock {
            state.pointee.isHelped = isHelped
            guard !isHelped else { return }
            state.pointee.isInCharge = false
            help.wakeAll()
            condition(state.pointee.begun + 1).wakeOne()
        }
    }

    /// Leads syncs for callers that wait, until `setHelped(false)`, or until there was nothing to do for `patience`
    /// milliseconds. In either case nobody is left to the helper when this returns. One thread at a time.
    func help(patience: Int, _ sync: () -> AccessError?) {
        LockRank.assertNoneHeld()
        lock.lock()
        var lonely = 0
        var idleSince = MonotonicClock.milliseconds
        while state.pointee.isHelped {
            if state.pointee.isNextWanted, state.pointee.begun == state.pointee.ended {
                leadOthers(&lonely, sync)
                idleSince = MonotonicClock.milliseconds
            } else if !state.pointee.isNextWanted, MonotonicClock.milliseconds - idleSince >= patience {
                state.pointee.isHelped = false
                state.pointee.isInCharge = false
            } else {
                help.wait(lock, milliseconds: patience)
            }
        }
        lock.unlock()
    }

    /// Does the next sync, and those that callers wait for when it ends. The lock is held before and after. Each sync
    /// begins in the critical section in which the one before ends, so the callers that have been woken are not in its
    /// way.
    /// - Parameter lonely: How many syncs in a row had a single caller, and nobody waiting at their end.
    private func leadOthers(_ lonely: inout Int, _ sync: () -> AccessError?) {
        begin()
        var isUnderWay = true
        lock.unlock()
        while isUnderWay {
            let error = sync()
            lock.lock()
            let ended = end(error)
            isUnderWay = state.pointee.isHelped && state.pointee.isNextWanted
            lonely = isUnderWay || state.pointee.roundCount > 1 ? 0 : lonely + 1
            if lonely >= SharedSync.maxLonely { state.pointee.isInCharge = false }
            if isUnderWay { begin() }
            lock.unlock()
            if !isUnderWay { condition(ended + 1).wakeOne() }
            condition(ended).wakeAll()
        }
        lock.lock()
    }
}
