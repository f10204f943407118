/// The atomic word of a flexpage: pin count, latch and what is being done with it, at once.
///
///                     insert                       populate
///        (no page) ───────────▶ filling ────────────────────────▶ clean ◀───────────────┐
///                                  │ fail, or all zeroes          │   ▲ recycle          │ end writeback,
///                                  ▼                        dirty │   └──▶ (no page)     │ nothing dirtied since
///                             withdrawn ──last pin──▶ (no page)   ▼                      │
///                                                               dirty ── begin writeback ▶ writing
///                                                                 ▲──── end, it failed ──────┘
///
/// - *filling*: in the AccessMap, not `populated`. Its filler holds a pin; every other pin is one who waits for it.
/// - *withdrawn*: out of the AccessMap, because its fill failed or found nothing but zeroes; who waits for it looks
///   again. The last to give its pin back frees the Region.
/// - *clean*, *dirty*: `populated`; may be pinned by readers (shared), or by one writer (`exclusive`).
/// - *writing*: like dirty, readers may pin, a writer may not: the bytes on their way out are stable (invariant 5).
///
/// Who may change it: every bit is set under the lock of the page's chunk. Pins are given back, and `exclusive` with
/// them, without it. Hits are taken back by the PageQueue without it. `hasWaiters` asks whoever gives the last pin back
/// to wake those who sleep at the chunk's shard; while it is set, new readers of a populated page wait too, so that a
/// stream of readers cannot keep a writer out for ever (but for a page being written out, where that takes long).
struct PageState: Equatable {
    var raw: UInt32

    @inline(__always)
    init(_ raw: UInt32) { self.raw = raw }

    /// One pin. There are never more than one a request under way.
    static let pin: UInt32 = 1
    static let pinMask: UInt32 = 0x1FFF
    /// So many requests at once may have a page; one more waits until they have given it back.
    static let maxPins: UInt32 = 4096
    /// Whoever comes to it has the next window read ahead.
    static let marked: UInt32 = 1 << 13
    /// One hit of at most three that the PageQueue has yet to count.
    static let hit: UInt32 = 1 << 14
    static let hitMask: UInt32 = 3 << 14
    static let exclusive: UInt32 = 1 << 16
    static let writing: UInt32 = 1 << 17
    static let populated: UInt32 = 1 << 18
    static let hasWaiters: UInt32 = 1 << 19
    static let withdrawn: UInt32 = 1 << 20
    static let dirty: UInt32 = 1 << 21
    /// Written out, but not known to be durable: the last to be recycled.
    static let unsynced: UInt32 = 1 << 22
    /// Read ahead, and not used by anybody yet.
    static let prefetched: UInt32 = 1 << 23
    /// What the first use of a page takes away.
    static let untilUsed: UInt32 = prefetched | marked
    /// Of a populated page that a writer has: nobody else has ever seen it, and its bytes may be no image's yet. Goes
    /// with the writer's latch. (It shares a bit with the error, which only what has been withdrawn has.)
    static let fresh: UInt32 = 1 << 24
    /// The errno of a failed fill, beside `withdrawn`; 0 where those who wait should try for themselves.
    static let errorShift: UInt32 = 24

    @inline(__always)
    var pins: UInt32 { raw & PageState.pinMask }
    @inline(__always)
    var hits: UInt32 { (raw & PageState.hitMask) &>> 14 }
    @inline(__always)
    func has(_ bits: UInt32) -> Bool { raw & bits != 0 }
    var error: Int32 { Int32(raw &>> PageState.errorShift) }

    /// Whether one more reader may pin it now.
    @inline(__always)
    var isLendable: Bool {
        // The common case first: populated, and none of the bits that could stand against it.
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

    /// Whether nobody fills it, writes it or writes it out.
    var isQuiescent: Bool {
        raw & (PageState.populated | PageState.exclusive | PageState.writing) == PageState.populated
    }

    /// Whether nobody has it, waits for it, or is about to have read what is in its memory: it can be moved then.
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
