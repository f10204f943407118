import Glibc

/// One of the parts that the AccessMaps are divided into: a lock, where to sleep, and counters.
///
/// A chunk of an image belongs to the shard that its hash names. Whoever waits for a flexpage (to be populated, to be
/// given back, to have gone out) sleeps at its shard.
///
/// Lock order: shard before anything else of Paging, never two shards at once (but `checkInvariants`, which takes all
/// of them in ascending order). No lock is held across the Accessor's I/O (invariant 7), but for a LastWill's.
struct Shard {
    /// Base pages lent without waiting for the Accessor.
    ///
    /// The mutex is not the first field: changing any field in place counts as a change of the Shard's first byte to
    /// the thread sanitizer, and whoever is about to lock touches the mutex unlocked.
    var hits: UInt64
    var mutex: pthread_mutex_t
    var condition: pthread_cond_t
    /// Base pages that had to be populated; times a request slept.
    var misses: UInt64
    var waits: UInt64
    /// Reads of the Accessor that ended well, and that failed; flexpages recycled.
    var fills: UInt64
    var failedFills: UInt64
    var recycles: UInt64
    /// Base pages moved so that others could have a large Region.
    var moves: UInt64
    /// Writes of the Accessor that ended well, the base pages in them, and writes that failed.
    var writes: UInt64
    var pagesWritten: UInt64
    var failedWrites: UInt64
    /// Base pages known to be zeroes now, and those of them that reads were answered from.
    var knownZeroes: UInt64
    var zeroHits: UInt64
    /// Loans to writers, and times that images were forgotten, so that who has looked at the image meanwhile can tell
    /// whether it may have changed.
    var writeLoans: UInt64
}

extension UnsafeMutablePointer<Shard> {
    /// Makes the lock and the condition. Everything else is zero already.
    func prepare() {
        precondition(MemoryLayout<Shard>.offset(of: \.mutex) == MemoryLayout<UInt64>.stride, "where guardian looks")
        _ = Lock(in: pointer(to: \.mutex)!)
        _ = Condition(in: pointer(to: \.condition)!)
    }

    @inline(__always)
    private var guardian: Lock {
        let mutex = UnsafeMutableRawPointer(self) + MemoryLayout<UInt64>.stride
        return Lock(at: mutex.assumingMemoryBound(to: pthread_mutex_t.self), .shard)
    }

    @inline(__always)
    func lock() { guardian.lock() }

    @inline(__always)
    func unlock() { guardian.unlock() }

    /// For who takes all shards, in ascending order: `checkInvariants` alone.
    func lockBesideOthers() { guardian.lock(besideOthers: true) }

    /// Gives the lock up and takes it again.
    func letOthersIn() {
        unlock()
        lock()
    }

    func tryLock() -> Bool { guardian.tryLock() }

    /// Sleeps until somebody wakes this shard. The lock is held before and after, not meanwhile.
    func wait() {
        pointee.waits += 1
        Condition(at: pointer(to: \.condition)!).wait(guardian)
    }

    func wakeAll() { Condition(at: pointer(to: \.condition)!).wakeAll() }
}
