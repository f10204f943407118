/// Of one image: how much may be read ahead before it is known whether anybody wants it.
///
///     reads (missed, passed) ── earn ──▶ credit ◀── pay (lost) ── what a stream loses as it ends
///
/// Clients that read earn credit: an eighth of what they read, but of a long miss only of its first pages. Pages that
/// were read ahead for a stream, and that its reader never came to, are paid from it. Without credit, a stream has only
/// what it deserves itself (`Readahead`). So waste is bounded whatever the accesses are. A debt is limited too, because
/// a stream may lose what it deserves itself: an image whose readers go on reading has credit again soon.
///
/// An eighth, because that is what reading ahead may cost: an eighth more bytes. Of a miss only four pages count,
/// because what reading ahead saves is reads, and not bytes: with long reads, it saves few for each byte. Where bytes
/// limit the volume (`VolumeJudge`), it is a sixty-fourth: there, what was read in vain costs its full time.
///
/// All numbers are base pages. Credit is counted in sixty-fourths of one.
struct ReadaheadAccount {
    private var parts: Int
    /// The pages of a miss that earn credit, at most.
    private static let maxPagesOfMiss: UInt64 = 4
    /// The maximum credit, in windows of the maximum size. It is also what an image begins with, so that eight streams
    /// at once grow to their maximum before any of them has earned something.
    private static let maxWindows = 10
    /// It is at least 4 MiB and at most 24, whatever the windows are.
    private static let limits = (least: 1024, most: 6144)
    /// 4 MiB. Clients earn that with 8192 pages.
    private static let maxDebt = 1024

    /// - Parameter maxWindow: The maximum window of the image.
    init(maxWindow: Int) { parts = ReadaheadAccount.maxParts(maxWindow) }

    private static func maxParts(_ maxWindow: Int) -> Int {
        64 * max(limits.least, min(maxWindows * maxWindow, limits.most))
    }

    /// Less than nothing while more was lost than earned, at least `-maxDebt`.
    var credit: Int { parts >> 6 }

    /// A client has missed `pages`.
    /// - Parameter isThrifty: Whether bytes limit the volume.
    mutating func missed(_ pages: UInt64, maxWindow: Int, isThrifty: Bool = false) {
        earn(min(pages, ReadaheadAccount.maxPagesOfMiss), maxWindow, isThrifty)
    }

    /// A reader has passed `pages` that were read ahead of it.
    mutating func passed(_ pages: UInt64, maxWindow: Int, isThrifty: Bool = false) {
        earn(pages, maxWindow, isThrifty)
    }

    /// No reader has come to `pages` that were read ahead, and none is expected to.
    mutating func lost(_ pages: UInt64) { parts = max(parts - 64 * Int(pages), -64 * ReadaheadAccount.maxDebt) }

    private mutating func earn(_ pages: UInt64, _ maxWindow: Int, _ isThrifty: Bool) {
        let more = Int(pages) * (isThrifty ? 1 : 8)
        parts = min(parts + more, max(parts, ReadaheadAccount.maxParts(maxWindow)))
    }
}
