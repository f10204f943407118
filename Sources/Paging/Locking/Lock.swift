import Glibc

/// A mutual exclusion lock: a pthread mutex at a fixed place in the Memory's metadata.
///
/// Not `Synchronization.Mutex`: it uses priority-inheriting futexes. They do not survive a fork, and they collapse
/// when threads outnumber cores. With 8 threads on 2 cores, an operation took 28 µs, and with this lock 35 ns.
/// A copy of a `Lock` is the same lock. The thread that locks it unlocks it. Debug builds check the order in which a
/// thread takes locks; see LockRank.
struct Lock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    #if DEBUG
        private let rank: LockRank
    #endif

    /// Makes the lock in `space`, which stays in place as long as the lock is used.
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

    /// Takes the lock if no thread has it.
    func tryLock() -> Bool {
        guard pthread_mutex_trylock(mutex) == 0 else { return false }
        #if DEBUG
            rank.didLock()
        #endif
        return true
    }

    /// Ends the process if the calling thread holds no lock of this rank. For debug builds.
    @inline(__always)
    func assertHeld() {
        #if DEBUG
            rank.assertHeld()
        #endif
    }

    /// Runs `body` with the lock held.
    @inline(__always)
    func withLock<Result: ~Copyable>(_ body: () -> Result) -> Result {
        lock()
        defer { unlock() }
        return body()
    }

    /// The mutex, for a Condition that gives it up.
    var raw: UnsafeMutablePointer<pthread_mutex_t> { mutex }
}
