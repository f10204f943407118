/// How much may be dirty so that a flush ends within a given time: an estimate from what the disk has done lately.
///
/// A flush writes out what is dirty and syncs. For D dirty pages, and U pages that are written out and not synced, it
/// takes
///
///     D / rate + fixed + (D + U) · syncCost
///
/// *rate* is the number of pages written out per second while a write-out keeps the disk busy. Time without a write-out
/// says nothing about the disk and does not count. *fixed* is the time of a sync of little. *syncCost* is the further
/// time per page of a sync of much: a disk with a cache writes fast, and syncs at its real speed.
///
/// The budget is a third of the time, because a disk can become slower. Suppose a disk falls to a tenth of its speed
/// with all that is allowed dirty. After three times the flush's time it has written out nine tenths of that. A disk
/// that stands still is evidence too: time passes, and no pages are written.
///
/// The budget has no clock, lock or memory of its own: all times are its caller's, in seconds since any fixed time.
struct FlushBudget {
    /// What may be dirty before anything is known about the disk, base pages: 64 MiB, or less in proportion if the
    /// flush time is below ten seconds.
    static let firstPages = (64 << 20) / BasePage.size
    private static let firstTime = 10.0
    /// What may always be dirty, base pages: 1 MiB.
    static let minPages = (1 << 20) / BasePage.size
    /// The share of the flush time that what is allowed takes at the measured rate.
    private static let share = 1.0 / 3
    /// The length of one sample, busy seconds.
    private static let sampleTime = 0.25
    /// The length at which a sample replaces all earlier ones, busy seconds. If a disk suddenly becomes half as fast,
    /// that is known within two seconds.
    private static let memoryTime = 1.5

    /// Seconds that a flush may take.
    let flushTime: Double
    /// Base pages written out per second while the disk is kept busy.
    private(set) var rate: Double
    /// Seconds that a sync takes, however little there is to sync.
    private(set) var fixedSync = 0.0
    /// Further seconds per page that a sync takes.
    private(set) var syncCost = 0.0

    /// Write-outs under way.
    private var writeOuts = 0
    /// Busy seconds and pages of the present sample.
    private var sampled = 0.0
    private var sampledPages = 0
    /// The time of the last note, and the number of pages written out by then.
    private var noted = 0.0
    private var notedPages = 0
    /// When the sync under way began.
    private var syncBegan: Double?

    init(flushTime: Double) {
        self.flushTime = flushTime
        rate = Double(FlushBudget.firstPages) / (max(flushTime, FlushBudget.firstTime) * FlushBudget.share)
    }

    /// A write-out begins.
    /// - Parameter written: Base pages written out so far, in all.
    mutating func beginWriteOut(at now: Double, written: Int) {
        note(now, written)
        writeOuts += 1
    }

    /// A write-out ends.
    mutating func endWriteOut(at now: Double, written: Int) {
        assert(writeOuts > 0, "a write-out that ends has begun")
        note(now, written)
        writeOuts -= 1
    }

    /// Notes what has been written out since the last note.
    mutating func note(_ now: Double, _ written: Int) {
        if writeOuts > 0 {
            sampled += max(0, now - noted)
            sampledPages += written - notedPages
        }
        (noted, notedPages) = (now, written)
        guard sampled >= FlushBudget.sampleTime else { return }
        let weight = min(1, sampled / FlushBudget.memoryTime)
        rate += (Double(sampledPages) / sampled - rate) * weight
        (sampled, sampledPages) = (0, 0)
    }

    /// A sync begins. If syncs of several images overlap, the time from the last beginning to the first end counts.
    mutating func beginSync(at now: Double) { syncBegan = now }

    /// A sync ends.
    /// - Parameter pages: Base pages that it made durable.
    /// - Parameter isGood: Whether it succeeded. A failed sync says nothing about other syncs.
    mutating func endSync(at now: Double, pages: Int, isGood: Bool) {
        defer { syncBegan = nil }
        guard isGood, let syncBegan else { return }
        let time = now - syncBegan
        if pages < FlushBudget.minPages {
            fixedSync += (time - fixedSync) / 4
        } else {
            // A sync of much that took less time shows that a sync of little does too. There may never be another one.
            fixedSync = min(fixedSync, time)
            syncCost += (max(0, time - fixedSync) / Double(pages) - syncCost) / 2
        }
    }

    /// Base pages that may be dirty now.
    /// - Parameter unsynced: Base pages that are written out and not durable.
    func pages(unsynced: Int, at now: Double) -> Int {
        let hanging = syncBegan.map { max(0, now - $0) } ?? 0
        let time = (flushTime - max(fixedSync, hanging)) * FlushBudget.share - Double(unsynced) * syncCost
        let pages = time / (1 / max(rate, 1e-6) + syncCost)
        return pages < Double(FlushBudget.minPages) ? FlushBudget.minPages : Int(min(pages, 1e15))
    }

    /// Whether so much is written out and not durable that a flush would spend a quarter of the budget on it.
    func isSyncDue(unsynced: Int) -> Bool { Double(unsynced) * syncCost > flushTime * FlushBudget.share / 4 }
}
