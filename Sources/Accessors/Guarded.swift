import Glibc

/// A value that one thread uses at a time.
///
/// Its lock is a pthread_mutex_t, because Swift's own mutex misbehaves in a forked child. Thread rules: any thread, any
/// time. What happens under the lock is short, and takes no other lock, unless the owner says otherwise.
public final class Guarded<Value>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    public init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    public func withLock<Result, Failure>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }

    /// Does nothing if another thread uses the value.
    public func withLockIfFree(_ body: (inout Value) -> Void) {
        guard pthread_mutex_trylock(mutex) == 0 else { return }
        body(&value)
        pthread_mutex_unlock(mutex)
    }
}
