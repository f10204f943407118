import Glibc

/// A value that one thread uses at a time, and whose changes threads wait for.
///
/// Thread rules: any thread, any time. What happens under the lock is short, and takes no other lock.
final class Monitored<Value>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var value: Value

    init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Looks at the value, or changes in it what nobody waits for.
    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }

    /// Changes the value, and wakes those who wait.
    func change<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return body(&value)
    }

    /// What `body` wants.
    enum Wish<Result> {
        case done(Result)
        /// To be called again when something has changed, or at this time at the latest, in milliseconds of
        /// `MonotonicTime`; nil if only a change matters.
        case later(Int?)
    }

    /// Calls `body` until it is done. It may change the value, and wakes nobody.
    func wait<Result>(_ body: (inout Value) -> Wish<Result>) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            switch body(&value) {
            case .done(let result): return result
            case .later(nil): pthread_cond_wait(condition, mutex)
            case .later(let time?):
                var until = timespec(tv_sec: time / 1000, tv_nsec: time % 1000 * 1_000_000)
                pthread_cond_timedwait(condition, mutex, &until)
            }
        }
    }
}
