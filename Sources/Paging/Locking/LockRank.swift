import CIntrinsics

/// The order in which a thread takes locks, from the outside in. Who holds a lock takes only locks of a higher rank
/// (invariant 11), so that no two threads can wait for each other.
///
/// Debug builds check it at each lock, and that none is held where an Accessor is called (invariant 7): each thread
/// counts what it holds of each rank. Release builds know nothing of it, and it costs them nothing.
enum LockRank: UInt64 {
    /// The ProviderRegistry's: which images are open.
    case registry
    /// A shard's. Only who checks the invariants holds several, in ascending order.
    case shard
    /// A Ledger's: which leaves of an image are dirty or not durable.
    case ledger
    /// Every other one: nothing is locked while it is held.
    case innermost

    /// Ends the process if the calling thread holds a lock. For debug builds.
    @inline(__always)
    static func assertNoneHeld() {
        assert(flexpage_get_held_locks() == 0, "no lock is held while an image is reached (invariant 7)")
    }

    #if DEBUG
        private var one: UInt64 { 1 << (8 * rawValue) }

        /// The calling thread is about to take a lock of this rank.
        /// - Parameter besideOthers: It may hold others of this rank.
        func willLock(besideOthers: Bool = false) {
            let lowest = besideOthers ? rawValue + 1 : rawValue
            let outOfOrder = lowest < 8 ? flexpage_get_held_locks() >> (8 * lowest) : 0
            precondition(outOfOrder == 0, "\(self) is locked after a lock of its rank or a later one (invariant 11)")
            didLock()
        }

        /// It has taken one, whatever the order: without waiting for it.
        func didLock() { flexpage_set_held_locks(flexpage_get_held_locks() + one) }

        /// It has given one back.
        func didUnlock() {
            let held = flexpage_get_held_locks()
            precondition(held >> (8 * rawValue) & 0xFF > 0, "\(self) is unlocked by a thread that does not hold it")
            flexpage_set_held_locks(held - one)
        }
    #endif
}
