/// The atomic word of a flexpage: pin count, latch and what is being done with it, at once.
///
///              Fill.issue              Fill.publish            Pages.recycle, PageMapper.drop
///     (no page) ──────────▶ filling ────────────────▶ clean ─────────────────────────────────▶ (no page)
///                              │                      │   ▲
///               Fill.withdraw, │         Context.pin, │   └───── AccessMap.endWriteback ─────┐
///              Fill.dropZeroes │         for a writer │                                      │
///                              ▼                      ▼           WriteBatch.take            │
///                          withdrawn                dirty ──────────────────────────────▶ writing
///             Context.giveBack │                      ▲                                      │
///             of the last pin  ▼                      └── AccessMap.failWriteback, ──────────┘
///                          (no page)                      AccessMap.undoWriteback
///
/// - *filling*: in the AccessMap, not `populated`. Its filler holds a pin. Every other pin belongs to a thread that
///   waits for it.
/// - *withdrawn*: out of the AccessMap, because its fill failed or found nothing but zeroes. A thread that waits for it
///   looks again. The last thread to give its pin back frees the Region.
/// - *clean*, *dirty*: `populated`. Readers may pin it (shared), or one writer (`exclusive`).
/// - *writing*: like dirty, but no writer may pin it: the bytes on their way out are stable (invariant 5).
///
/// Thread rules: every bit is set under the lock of the page's chunk. Three changes take no lock: a pin is given back;
/// `exclusive` and `fresh` go with a writer's pin; and the PageQueue takes hits back. `hasWaiters` asks the thread that
/// gives the last pin back to wake those that sleep at the chunk's shard. While it is set, new readers of a populated
/// page wait too, so that a stream of readers cannot keep a writer out for ever. A page that is being written out is an
/// exception, because that may take long.
struct PageState: Equatable {
    var raw: UInt32

    @inline(__always)
    init(_ raw: UInt32) { self.raw = raw }

    /// One pin. Each request under way has at most one on a page.
    static let pin: UInt32 = 1
    static let pinMask: UInt32 = 0x1FFF
    /// The number of requests that may have a page at once. One more waits until they have given it back.
    static let maxPins: UInt32 = 4096
    /// The first client that comes to it starts the next window of reading ahead.
    static let marked: UInt32 = 1 << 13
    /// One hit of at most three that the PageQueue has not counted yet.
    static let hit: UInt32 = 1 << hitShift
    static let hitMask: UInt32 = 3 << hitShift
    private static let hitShift: UInt32 = 14
    static let exclusive: UInt32 = 1 << 16
    static let writing: UInt32 = 1 << 17
    static let populated: UInt32 = 1 << 18
    static let hasWaiters: UInt32 = 1 << 19
    static let withdrawn: UInt32 = 1 << 20
    static let dirty: UInt32 = 1 << 21
    /// Written out, but not known to be durable: the last to be recycled.
    static let unsynced: UInt32 = 1 << 22
    /// Read ahead, and not used by any client yet.
    static let prefetched: UInt32 = 1 << 23
    /// What the first use of a page takes away.
    static let untilUsed: UInt32 = prefetched | marked
    /// Of a populated page that a writer has: nobody else has ever seen it, and its bytes may not be the image's yet.
    /// It goes with the writer's latch. (It shares a bit with the error, which only a withdrawn flexpage has.)
    static let fresh: UInt32 = 1 << 24
    /// The errno of a failed fill, beside `withdrawn`; 0 if the threads that wait should try for themselves.
    static let errorShift: UInt32 = 24

    @inline(__always)
    var pins: UInt32 { raw & PageState.pinMask }
    @inline(__always)
    var hits: UInt32 { (raw & PageState.hitMask) &>> PageState.hitShift }
    @inline(__always)
    func has(_ bits: UInt32) -> Bool { raw & bits != 0 }
    var error: Int32 { Int32(raw &>> PageState.errorShift) }

    /// Whether one more reader may pin it now.
    @inline(__always)
    var isLendable: Bool {
        // The common case first: populated, and no bit that could forbid it.
        (raw & (PageState.populated | PageState.exclusive | PageState.hasWaiters) == PageState.populated
            || (has(PageState.populated) && has(PageState.writing) && !has(PageState.exclusive)))
            && pins < PageState.maxPins
    }

    /// Whether a writer may pin it now.
    @inline(__always)
    var isLendableExclusively: Bool {
        raw & (PageState.populated | PageState.exclusive | PageState.writing | PageState.pinMask)
            == PageState.populated
    }

    /// Whether it is populated, and no thread writes it or writes it out.
    var isQuiescent: Bool {
        raw & (PageState.populated | PageState.exclusive | PageState.writing) == PageState.populated
    }

    /// Whether it can be moved: it is populated, and no thread has it, waits for it or writes it out.
    @inline(__always)
    var isMovable: Bool {
        raw & (PageState.pinMask | PageState.exclusive | PageState.writing | PageState.hasWaiters | PageState.populated)
            == PageState.populated
    }

    /// Whether it can be recycled now (invariants 4 and 5).
    @inline(__always)
    var isRecyclable: Bool {
        raw & (PageState.pinMask | PageState.exclusive | PageState.writing | PageState.dirty | PageState.populated)
            == PageState.populated
    }
}
