/// Which base pages in memory are known to be bad: the image has refused each of them when it was written alone. Such a
/// page goes alone from then on, so that it keeps no neighbour off the image. It is tried again by itself after 1, 2,
/// 4 … 30 seconds, so that it does not cost an error a second. A flush does not wait for these times.
///
/// A note takes two bytes per frame, and belongs to the frame that holds the page. It moves with the page, and ends
/// when the page is written out or dropped. The lock of the page's chunk guards it. O(1).
///
///     no note ── noteFailure ──▶ waiting ── time ──▶ due ── noteFailure, twice the time ──▶ waiting
///        ▲                           └── forget ──────┤
///        └────────────────────────────────────────────┘
struct BadPages: @unchecked Sendable {
    private let notes: UnsafeMutablePointer<UInt16>

    /// The longest time between two attempts, seconds.
    static let maxWait = 30
    /// The number of failures after which the time is that.
    private static let maxFailures: UInt16 = 6
    /// The low bits of a note say when the page is due: the low bits of a time in seconds. The high bits count
    /// failures.
    private static let timeBits: UInt16 = 13
    private static let timeMask: UInt16 = 1 << timeBits - 1

    /// The seconds of the clock by which pages are due.
    static var now: Int { MonotonicClock.milliseconds / 1000 }

    init(_ metadata: borrowing Metadata) { self.init(metadata.badPages) }

    init(_ notes: UnsafeMutablePointer<UInt16>) { self.notes = notes }

    /// Whether the page in `frame` is known to be bad.
    func isBad(_ frame: FlexpageID) -> Bool { notes[Int(frame)] != 0 }

    /// Whether the page in `frame`, a bad one, should be tried again at `second`. A page that no thread has asked about
    /// for two hours may wait once more: its time has wrapped around.
    func isDue(_ frame: FlexpageID, at second: Int) -> Bool {
        let now = UInt16(truncatingIfNeeded: second)
        let left = (notes[Int(frame)] &- now) & BadPages.timeMask
        return left == 0 || left > BadPages.maxWait
    }

    /// The page in `frame` was written alone at `second`, and refused.
    func noteFailure(of frame: FlexpageID, at second: Int) {
        let failures = min(notes[Int(frame)] >> BadPages.timeBits + 1, BadPages.maxFailures)
        let wait = min(1 << (Int(failures) - 1), BadPages.maxWait)
        let due = UInt16(truncatingIfNeeded: second + wait) & BadPages.timeMask
        notes[Int(frame)] = failures << BadPages.timeBits | due
    }

    /// The page in `frame` has been written out or dropped.
    func forget(_ frame: FlexpageID) { notes[Int(frame)] = 0 }

    /// The pages of `region` have been moved to `target`, a Region of the same order.
    func move(_ region: Region, to target: Region) {
        assert(region.order == target.order, "a Region moves to one of the same order")
        for index in 0..<region.frames {
            notes[Int(target.first) + index] = notes[Int(region.first) + index]
            notes[Int(region.first) + index] = 0
        }
    }
}
