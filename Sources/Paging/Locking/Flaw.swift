#if FLEXPAGE_FLAWS
    import Glibc
#endif

/// Mistakes in the order of events that can be planted, one at a time, to see which tests find them. Each looks right,
/// and could have been written by mistake. Only a build of its own has them (`FLEXPAGE_FLAWS`). In every other build,
/// `isPlanted` is false at compile time and leaves no code.
enum Flaw: String, CaseIterable, Sendable {
    /// The last reader gives its pin back, and wakes no thread that waits for the page.
    case droppedWakeUp
    /// A caller that shares a sync checks once, and not again after it has been woken.
    case ifForWhile
    /// A writer that has come to wait for room does not check again whether there is some.
    case noLookAfterEntering
    /// Without its fence, a thread about to sleep for want of memory is seen after its last try, not before.
    case lateAnnouncement
    /// A reader looks a flexpage up under the lock, gives the lock up, and pins the flexpage under the lock later.
    case latePin
    /// A fill checks reservations before it takes the lock, not under the lock.
    case earlyReservationCheck
    /// The pieces of a flexpage are queued, although a recycler may have taken the whole flexpage since the check.
    case earlyPieces
    /// A caller that wants a sync shares one that has begun already.
    case lateJoin
    /// A page that a sync makes durable while it is being zeroed is kept for the next server.
    case settledInAZero

    #if FLEXPAGE_FLAWS
        /// The flaw that is planted, if any. The environment names it, unless a test sets it.
        nonisolated(unsafe) static var planted = getenv("FLEXPAGE_FLAW").flatMap {
            Flaw(rawValue: String(cString: $0))
        }

        var isPlanted: Bool { Flaw.planted == self }
    #else
        @inline(__always)
        var isPlanted: Bool { false }
    #endif
}
