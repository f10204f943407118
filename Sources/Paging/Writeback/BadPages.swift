/// Which base pages in memory are known to be bad: the image has refused each of them when it came alone. From then on
/// such a page goes alone, so that it holds no neighbour off the image, and is tried again by itself after 1, 2, 4 … 30
/// seconds, so that it does not cost an error a second. A flush does not wait for that.
///
/// A note of two bytes a frame, of the frame that holds the page: it moves with the page, and ends when the page is
/// written out or dropped. All of it is under the lock of the page's chunk. O(1).
///
///     no note ── noteFailure ──▶ waiting ── time ──▶ due ── noteFailure, twice the time ──▶ waiting
///        ▲                           └── forget ──────┤
///        └────────────────────────────────────────────┘
struct BadPages: @unchecked Sendable {
    private let notes: UnsafeMutablePointer<UInt16>

    /// The longest time between two tries, seconds.
    static let maxWait = 30
    /// After so many failures it is that.
    private static let maxFailures: UInt16 = 6
    /// A note has failures above, and below when the page is due: seconds, of which it knows the low bits.
    private static let timeBits: UInt16 = 13
    private static let timeMask: UInt16 = 1 << timeBits - 1

    init(_ metadata: borrowing Metadata) { notes = metadata.badPages }

    /// Whether the page in `frame` is known to be bad.
    func isBad(_ frame: FlexpageID) -> Bool { notes[Int(frame)] != 0 }

    /// Whether the page in `frame`, a bad one, is to be tried again at `second`. One that nobody has asked about for
    /// two hours may be told to wait once more: its time has gone round.
    func isDue(_ frame: FlexpageID, at second: Int) -> Bool {
        let now = UInt16(truncatingIfNeeded: second)
        let left = (notes[Int(frame)] &- now) & BadPages.timeMask
        return left == 0 || left > BadPages.maxWait
    }

    /// The page in `frame` has been refused alone, at `second`.
    func noteFailure(of frame: FlexpageID, at second: Int) {
        let failures = min(notes[Int(frame)] >> BadPages.timeBits + 1, BadPages.maxFailures)
        let wait = min(1 << (Int(failures) - 1), BadPages.maxWait)
        let due = UInt16(truncatingIfNeeded: second + wait) & BadPages.timeMask
        notes[Int(frame)] = failures << BadPages.timeBits | due
    }

    /// The page in `frame` is out, or dropped.
    func forget(_ frame: FlexpageID) { notes[Int(frame)] = 0 }

    /// The pages of `region` have been moved to `target`, a Region of the same order.
    func move(_ region: Region, to target: Region) {
        for index in 0..<region.frames {
            notes[Int(target.first) + index] = notes[Int(region.first) + index]
            notes[Int(region.first) + index] = 0
        }
    }
}
