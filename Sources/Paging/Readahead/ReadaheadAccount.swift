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
/// On a slow volume (`VolumeJudge`), what was read in vain may cost its full time. So the credit is 4 MiB at most while
/// it is not known to be limited by reads, and what is earned is a 32nd. Where bytes limit it, that is a 256th:
/// what was read in time saves little there.
///
/// All numbers are base pages. Credit is counted in 256ths of one.
struct ReadaheadAccount {
    private var parts: Int
    private static let partsOfPage = 256
    /// This part of what is read may be read in vain: clients earn it, and a stream has room for it (`Readahead`).
    /// - Parameter limit: What limits the volume.
    static func partInVain(_ limit: VolumeJudge.Limit) -> Int {
        switch limit {
        case .unknown, .reads: 8
        case .either: 32
        case .bytes: 256
        }
    }
    /// The pages of a miss that earn credit, at most.
    private static let maxPagesOfMiss: UInt64 = 4
    /// The maximum credit, in windows of the maximum size. It is also what an image begins with, so that eight streams
    /// at once grow to their maximum before any of them has earned something.
    private static let maxWindows = 10
    /// It is at least 4 MiB and at most 24, whatever the windows are.
    private static let limits = (least: 1024, most: 6144)
    /// 4 MiB. Clients earn that with 8192 pages. On slow volumes they do with four times as many, and where bytes limit
    /// the volume with 32 times as many.
    private static let maxDebt = 1024

    /// - Parameter maxWindow: The maximum window of the image.
    init(maxWindow: Int) { parts = ReadaheadAccount.maxParts(maxWindow) }

    private static func maxParts(_ maxWindow: Int) -> Int {
        partsOfPage * max(limits.least, min(maxWindows * maxWindow, limits.most))
    }

    /// Less than nothing while more was lost than earned, at least `-maxDebt`.
    var credit: Int { parts >> 8 }

    /// A client has missed `pages`.
    /// - Parameter limit: What limits the volume.
    mutating func missed(_ pages: UInt64, maxWindow: Int, _ limit: VolumeJudge.Limit = .unknown) {
        earn(min(pages, ReadaheadAccount.maxPagesOfMiss), maxWindow, limit)
    }

    /// A reader has passed `pages` that were read ahead of it.
    mutating func passed(_ pages: UInt64, maxWindow: Int, _ limit: VolumeJudge.Limit = .unknown) {
        earn(pages, maxWindow, limit)
    }

    /// No reader has come to `pages` that were read ahead, and none is expected to.
    mutating func lost(_ pages: UInt64) {
        parts = max(
            parts - ReadaheadAccount.partsOfPage * Int(pages), -ReadaheadAccount.partsOfPage * ReadaheadAccount.maxDebt)
    }

    private mutating func earn(_ pages: UInt64, _ maxWindow: Int, _ limit: VolumeJudge.Limit) {
        let most =
            switch limit {
            case .unknown, .reads: max(parts, ReadaheadAccount.maxParts(maxWindow))
            case .either, .bytes: ReadaheadAccount.partsOfPage * ReadaheadAccount.limits.least
            }
        parts = min(parts + Int(pages) * ReadaheadAccount.partsOfPage / ReadaheadAccount.partInVain(limit), most)
    }
}
