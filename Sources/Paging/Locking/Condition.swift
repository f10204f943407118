import Glibc

/// A condition variable at a fixed place in the Memory's metadata. A copy is the same condition.
struct Condition: @unchecked Sendable {
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// Makes the condition in `space`, which stays in place as long as the condition is used. Timed waits use the
    /// monotonic clock.
    init(in space: UnsafeMutablePointer<pthread_cond_t>) {
        condition = space
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        let result = pthread_cond_init(condition, &attributes)
        precondition(result == 0, "pthread_cond_init failed")
        pthread_condattr_destroy(&attributes)
    }

    /// The condition that was made in `space`.
    @inline(__always)
    init(at space: UnsafeMutablePointer<pthread_cond_t>) { condition = space }

    /// Gives up `lock`, which the caller holds, sleeps until woken, and takes it again. It may also wake for no reason.
    func wait(_ lock: Lock) {
        lock.assertHeld()
        let result = pthread_cond_wait(condition, lock.raw)
        assert(result == 0, "pthread_cond_wait failed")
    }

    /// The same, for at most `milliseconds`.
    func wait(_ lock: Lock, milliseconds: Int) {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_sec += milliseconds / 1000
        until.tv_nsec += milliseconds % 1000 * 1_000_000
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_nsec -= 1_000_000_000
            until.tv_sec += 1
        }
        _ = pthread_cond_timedwait(condition, lock.raw, &until)
    }

    func wakeAll() {
        pthread_cond_broadcast(condition)
    }

    func wakeOne() {
        pthread_cond_signal(condition)
    }
}
