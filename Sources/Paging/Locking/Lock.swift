import Glibc

/// A mutual exclusion lock: a pthread mutex at a fixed place in the Memory's metadata.
///
/// Not `Synchronization.Mutex`: that one takes priority-inheriting futexes, which do not survive a fork and collapse
/// when threads outnumber cores (28 µs an operation with 8 threads on 2 cores, where this one stays at 35 ns). A copy
/// of a `Lock` is the same lock. Never unlocked by another thread than the one that locked it. Debug builds check the
/// order in which a thread takes locks; see LockRank.
struct Lock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    #if DEBUG
        private let rank: LockRank
    #endif

    /// Makes the lock in `space`, which stays where it is for as long as the lock is used.
    init(in space: UnsafeMutablePointer<pthread_mutex_t>, _ rank: LockRank = .innermost) {
        self.init(at: space, rank)
        let result = pthread_mutex_init(mutex, nil)
        precondition(result == 0, "pthread_mutex_init failed")
    }

    /// The lock that was made in `space`.
    @inline(__always)
    init(at space: UnsafeMutablePointer<pthread_mutex_t>, _ rank: LockRank = .innermost) {
        mutex = space
        #if DEBUG
            self.rank = rank
        #endif
    }

    /// - Parameter besideOthers: The caller may hold other locks of the same rank.
    @inline(__always)
    func lock(besideOthers: Bool = false) {
        #if DEBUG
            rank.willLock(besideOthers: besideOthers)
        #endif
        let result = pthread_mutex_lock(mutex)
        assert(result == 0, "pthread_mutex_lock failed")
    }

    @inline(__always)
    func unlock() {
        #if DEBUG
            rank.didUnlock()
        #endif
        let result = pthread_mutex_unlock(mutex)
        assert(result == 0, "pthread_mutex_unlock failed")
    }

    /// Takes the lock if nobody has it.
    func tryLock() -> Bool {
        guard pthread_mutex_trylock(mutex) == 0 else { return false }
        #if DEBUG
            rank.didLock()
        #endif
        return true
    }

    /// Runs `body` with the lock held.
    @inline(__always)
    func withLock<Result: ~Copyable>(_ body: () -> Result) -> Result {
        lock()
        defer { unlock() }
        return body()
    }

    /// For a Condition to give it up.
    var raw: UnsafeMutablePointer<pthread_mutex_t> { mutex }
}
