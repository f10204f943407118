import Glibc

/// One of the parts that the AccessMaps are divided into: a lock, a condition to sleep at, and counters.
///
/// A chunk of an image belongs to the shard that its hash names. A thread that waits for a flexpage sleeps at its
/// shard: until the flexpage is populated, has been given back, or has gone out.
///
/// Lock order: a thread takes one shard at a time, before a Ledger or an innermost lock (LockRank). Only
/// `checkInvariants` takes all shards, in ascending order. No lock is held while an image is reached (invariant 7); a
/// LastWill is the exception.
struct Shard {
    /// Base pages lent without waiting for the Accessor.
    ///
    /// It comes before the mutex because the thread sanitizer takes a change of any field in place for a change of the
    /// first byte. A thread that is about to lock touches the mutex unlocked.
    var hits: UInt64
    var mutex: pthread_mutex_t
    var condition: pthread_cond_t
    /// Base pages that had to be populated, and times that a request slept.
    var misses: UInt64
    var waits: UInt64
    /// Reads of the Accessor that ended well and the base pages in them, of these the ones that were read ahead and the
    /// ones that were recycled unused, reads that failed, and flexpages recycled.
    var fills: UInt64
    var pagesFilled: UInt64
    var pagesReadAhead: UInt64
    var pagesReadAheadInVain: UInt64
    var failedFills: UInt64
    var recycles: UInt64
    /// Base pages moved to make room for a large Region.
    var moves: UInt64
    /// Writes of the Accessor that ended well, the base pages in them, and writes that failed.
    var writes: UInt64
    var pagesWritten: UInt64
    var failedWrites: UInt64
    /// Base pages known to be zeroes now, and base pages of reads that were answered from them.
    var knownZeroes: UInt64
    var zeroHits: UInt64
    /// Loans to writers, and times that images were forgotten. It tells a thread that has asked the image something
    /// whether the answer may be out of date.
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

    /// For `checkInvariants`, which takes all shards, in ascending order.
    func lockBesideOthers() { guardian.lock(besideOthers: true) }

    /// Gives the lock up and takes it again.
    func letOthersIn() {
        unlock()
        lock()
    }

    /// Takes the lock if no thread has it.
    func tryLock() -> Bool { guardian.tryLock() }

    /// Sleeps until another thread wakes this shard. The lock is held before and after, not meanwhile.
    func wait() {
        guardian.assertHeld()
        pointee.waits += 1
        Condition(at: pointer(to: \.condition)!).wait(guardian)
    }

    /// Wakes all threads that sleep at this shard.
    func wakeAll() { Condition(at: pointer(to: \.condition)!).wakeAll() }
}
