import CIntrinsics

/// The order in which a thread takes locks, from the outside in. A thread that holds a lock takes only locks of a later
/// rank (invariant 11). So no two threads can wait for each other.
///
/// In debug builds, each thread counts the locks of each rank that it holds. Debug builds check the order at each lock.
/// No lock may be held when an Accessor is called (invariant 7). If a function wants a lock held, they check that too.
/// Release builds pay nothing.
enum LockRank: UInt64 {
    /// The ProviderRegistry's lock: which images are open. The Advisor's: its miniatures.
    case registry
    /// A shard's lock. Only `checkInvariants` holds several, in ascending order.
    case shard
    /// A Ledger's lock: which leaves of an image are dirty or not durable.
    case ledger
    /// Every other lock: a thread that holds it takes no lock.
    case innermost

    /// Ends the process if the calling thread holds a lock. For debug builds.
    @inline(__always)
    static func assertNoneHeld(_ occasion: StaticString = "an image is reached (invariant 7)") {
        assert(flexpage_get_held_locks() == 0, "no lock is held while \(occasion)")
    }

    /// Ends the process if the calling thread holds no lock of this rank. For debug builds.
    @inline(__always)
    func assertHeld() {
        assert(flexpage_get_held_locks() >> (8 * rawValue) & 0xFF > 0, "the caller holds the lock")
    }

    #if DEBUG
        private var one: UInt64 { 1 << (8 * rawValue) }

        /// The calling thread is about to take a lock of this rank.
        /// - Parameter besideOthers: The thread may hold others of this rank.
        func willLock(besideOthers: Bool = false) {
            let lowest = besideOthers ? rawValue + 1 : rawValue
            let outOfOrder = lowest < 8 ? flexpage_get_held_locks() >> (8 * lowest) : 0
            precondition(outOfOrder == 0, "\(self) is locked after a lock of its rank or a later one (invariant 11)")
            didLock()
        }

        /// The calling thread has taken a lock of this rank without waiting for it, so in any order.
        func didLock() { flexpage_set_held_locks(flexpage_get_held_locks() + one) }

        /// The calling thread has given up a lock of this rank.
        func didUnlock() {
            let held = flexpage_get_held_locks()
            precondition(held >> (8 * rawValue) & 0xFF > 0, "\(self) is unlocked by a thread that does not hold it")
            flexpage_set_held_locks(held - one)
        }
    #endif
}
