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
/// because what reading ahead saves is reads, and not bytes: with long reads, it saves few for each byte.
///
/// All numbers are base pages. Credit is counted in eighths of one.
struct ReadaheadAccount {
    private var eighths: Int
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
    init(maxWindow: Int) { eighths = ReadaheadAccount.maxEighths(maxWindow) }

    private static func maxEighths(_ maxWindow: Int) -> Int {
        8 * max(limits.least, min(maxWindows * maxWindow, limits.most))
    }

    /// Less than nothing while more was lost than earned, at least `-maxDebt`.
    var credit: Int { eighths >> 3 }

    /// A client has missed `pages`.
    mutating func missed(_ pages: UInt64, maxWindow: Int) {
        earn(Int(min(pages, ReadaheadAccount.maxPagesOfMiss)), maxWindow)
    }

    /// A reader has passed `pages` that were read ahead of it.
    mutating func passed(_ pages: UInt64, maxWindow: Int) { earn(Int(pages), maxWindow) }

    /// No reader has come to `pages` that were read ahead, and none is expected to.
    mutating func lost(_ pages: UInt64) { eighths = max(eighths - 8 * Int(pages), -8 * ReadaheadAccount.maxDebt) }

    private mutating func earn(_ more: Int, _ maxWindow: Int) {
        eighths = min(eighths + more, max(eighths, ReadaheadAccount.maxEighths(maxWindow)))
    }
}
