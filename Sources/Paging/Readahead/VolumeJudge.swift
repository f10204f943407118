/// Of one image: finds out what limits the volume that it lies on, from how many reads and pages the volume has
/// delivered in windows of a quarter of a second each, in all of which reads were under way.
///
/// A volume that is held to a rate shows a plateau. If the time of a read stays the same from window to window while
/// the pages of a read vary, the volume counts reads: a few more pages in a read cost nothing. If the time of a page
/// stays the same while the pages of a read vary, it counts bytes: a page in vain costs its full time, and a read
/// saved is worth nothing. If neither is so, or if all reads are alike from the beginning, it is one of the two. Then
/// what reading ahead may cost is a compromise.
///
///               a window of a slow volume
///     unknown ─────────────────────────────▶ either ── the time of a read is level ──▶ reads
///        ▲                                    │  ▲ └─── the time of a page is level ──▶ bytes
///        └── windows that say nothing ────────┘  └───── no plateau any more ─────────────┘
///
/// From each state, `patience` windows that say nothing lead to unknown: too few reads, idle, or a fast disk.
///
/// A verdict takes the last five windows, and is forgotten two seconds after it no longer holds. It holds as well while
/// all reads are alike, if what limits is as fast as it was. What it may cost while it is wrong is bounded by whoever
/// asks it (`ReadingOn`, `ReadaheadAccount`).
///
/// Measured on a volume held to 3000 reads and 125 MiB a second: of five windows, what is limited varied by 0.2 to 1.4
/// %, and the pages of a read by 5 to 60 %. The first window is faster, because such a volume has saved up a little.
///
/// A fast disk has no verdict: there the processors limit, and five windows may look level by chance.
///
/// Cost: some tens of additions and multiplications a window. Nothing is tried out: a load whose reads are all alike
/// from the beginning leaves it at `either`.
struct VolumeJudge {
    /// What the volume's speed depends on.
    enum Limit: Int {
        /// Nothing, as far as is known: it is fast, or has little to do.
        case unknown
        /// Reads or bytes: it is slow, and shows no plateau.
        case either
        case reads, bytes
    }

    /// The shortest window, microseconds.
    static let window: UInt64 = 250_000
    /// With fewer reads, a window says nothing.
    static let minReads = 32
    /// With less than this time for each read, microseconds, a volume is fast.
    private static let minTimeOfRead: UInt64 = 100
    /// How much, relative to its mean, a time may vary that counts as level, and how much a read's pages must vary. A
    /// verdict's time may differ by the second from when it was found.
    private static let level = 0.02, varied = 0.05
    /// After how many windows without a plateau a verdict is forgotten.
    private static let patience = 8

    private(set) var limit = Limit.unknown
    private var pages = Latest(), timeOfRead = Latest(), timeOfPage = Latest()
    /// With a verdict: the time of a read or of a page when it was last found, microseconds.
    private var known = 0.0
    private var doubts = 0

    /// In `microseconds`, `reads` reads have brought `pages` pages.
    mutating func take(reads: Int, pages count: Int, microseconds: UInt64) {
        guard reads >= VolumeJudge.minReads, count >= reads,
            microseconds >= UInt64(reads) * VolumeJudge.minTimeOfRead
        else { return doubt() }
        pages.add(Double(count) / Double(reads))
        timeOfRead.add(Double(microseconds) / Double(reads))
        timeOfPage.add(Double(microseconds) / Double(count))
        if limit == .unknown { limit = .either }
        guard pages.isFull else { return }
        if let plateau {
            // While all reads are alike, the time is only compared. So it cannot creep.
            if pages.isVaried(by: VolumeJudge.varied) { known = (plateau == .reads ? timeOfRead : timeOfPage).mean }
            limit = plateau
            doubts = 0
        } else {
            doubt(otherwise: .either)
        }
    }

    /// The latest window has said nothing.
    /// - Parameter limit: What it is if no window says more.
    private mutating func doubt(otherwise limit: Limit = .unknown) {
        doubts += 1
        guard doubts >= VolumeJudge.patience else { return }
        self.limit = limit
        doubts = 0
        (pages, timeOfRead, timeOfPage) = (Latest(), Latest(), Latest())
    }

    /// What the latest windows say.
    private var plateau: Limit? {
        if isPlateau(.reads, timeOfRead) { return .reads }
        return isPlateau(.bytes, timeOfPage) ? .bytes : nil
    }

    /// Whether the time of what `limit` counts is level though the reads vary. If they are all alike, it is level in
    /// any case. Then it is what was known before, if it is still as long as then.
    private func isPlateau(_ limit: Limit, _ times: Latest) -> Bool {
        guard !times.isVaried(by: VolumeJudge.level) else { return false }
        if pages.isVaried(by: VolumeJudge.varied) { return true }
        return self.limit == limit && abs(times.mean - known) <= VolumeJudge.varied * known
    }

    /// The values of the latest five windows.
    private struct Latest {
        private static let capacity = 5
        private var values = InlineArray<5, Double>(repeating: 0)
        private var count = 0

        var isFull: Bool { count >= Latest.capacity }

        mutating func add(_ value: Double) {
            values[count % Latest.capacity] = value
            // So that it never overflows.
            count = count < 2 * Latest.capacity - 1 ? count + 1 : Latest.capacity
        }

        var mean: Double {
            var sum = 0.0
            for index in 0..<Latest.capacity { sum += values[index] }
            return sum / Double(Latest.capacity)
        }

        /// Whether the standard deviation is at least this part of the mean.
        func isVaried(by part: Double) -> Bool {
            var squares = 0.0
            for index in 0..<Latest.capacity { squares += values[index] * values[index] }
            let mean = mean
            return squares / Double(Latest.capacity) - mean * mean >= part * part * mean * mean
        }
    }
}
