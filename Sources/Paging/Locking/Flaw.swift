#if FLEXPAGE_FLAWS
    import Glibc
#endif

/// Mistakes in the order of events that can be planted, one at a time, to see which tests find them: what could have
/// been written, and looks right. Only in a build of their own (`FLEXPAGE_FLAWS`); in every other one `isPlanted` is
/// false when it is compiled, and nothing is left of it.
enum Flaw: String, CaseIterable, Sendable {
    /// The last reader gives its pin back and wakes nobody who waits for the page.
    case droppedWakeUp
    /// Who shares a sync looks once, and not again after it has been woken.
    case ifForWhile
    /// A writer that has come to wait for room does not look again whether there is some.
    case noLookAfterEntering
    /// Without its fence, who is about to sleep for want of memory is seen after its last try, not before.
    case lateAnnouncement
    /// A reader looks a flexpage up under the lock, and pins it after that, under the lock once more.
    case latePin
    /// A fill asks for reservations before it takes the lock, not under it.
    case earlyReservationCheck
    /// The pieces of a flexpage are queued though a recycler may have taken the whole one since somebody looked.
    case earlyPieces
    /// Who wants a sync takes part in one that is under way.
    case lateJoin

    #if FLEXPAGE_FLAWS
        /// The one that is planted, if any: what the environment says, unless a test says something else.
        nonisolated(unsafe) static var planted = getenv("FLEXPAGE_FLAW").flatMap {
            Flaw(rawValue: String(cString: $0))
        }

        var isPlanted: Bool { Flaw.planted == self }
    #else
        @inline(__always)
        var isPlanted: Bool { false }
    #endif
}
