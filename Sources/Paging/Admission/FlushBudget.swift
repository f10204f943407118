/// How much may be dirty so that a flush ends within a time: from what the disk has done lately.
///
/// A flush writes out what is dirty and syncs. So it takes, for D dirty pages and U that are written out and not
/// synced,
///
///     D / rate + fixed + (D + U) · syncCost
///
/// *rate*: pages written out a second while a write-out keeps the disk busy; time without a write-out says nothing of
/// the disk and does not count. *fixed* is what a sync of little takes, *syncCost* what one of much takes a page beyond
/// that: a disk with a cache writes fast, and syncs at the speed that it really has.
///
/// A third of the time is spent so, because a disk can become slower than it was: one that falls to a tenth, with all
/// that is allowed dirty, has written out nine tenths of that after three times the flush's time. A disk's standstill
/// is evidence too: time passes, and no pages come.
///
/// It has no clock, lock or memory of its own: all times are its caller's, in seconds from any beginning.
struct FlushBudget {
    /// What may be dirty before anything is known of the disk, base pages: 64 MiB, in less than ten seconds of flush
    /// time a part of it.
    static let firstPages = (64 << 20) / BasePage.size
    private static let firstTime = 10.0
    /// What may always be dirty, base pages: 1 MiB.
    static let minPages = (1 << 20) / BasePage.size
    /// The share of the time that what is allowed takes at the rate measured.
    private static let share = 1.0 / 3
    /// How long the disk is watched for one sample, busy seconds, and after how long a sample is all that counts: what
    /// is half as fast all at once is known to be within two seconds.
    private static let sampleTime = 0.25
    private static let memoryTime = 1.5

    /// Seconds that a flush may take.
    let flushTime: Double
    /// Base pages written out a second while the disk is kept busy.
    private(set) var rate: Double
    /// Seconds that a sync takes whatever there is to sync, and a page beyond that.
    private(set) var fixedSync = 0.0
    private(set) var syncCost = 0.0

    /// Write-outs under way, and busy seconds and pages of the sample that is being taken.
    private var writeOuts = 0
    private var sampled = 0.0
    private var sampledPages = 0
    /// Up to when, and up to how many pages written out in all, things have been noted.
    private var noted = 0.0
    private var notedPages = 0
    /// When the sync under way began.
    private var syncBegan: Double?

    init(flushTime: Double) {
        self.flushTime = flushTime
        rate = Double(FlushBudget.firstPages) / (max(flushTime, FlushBudget.firstTime) * FlushBudget.share)
    }

    /// A write-out begins. - Parameter written: Base pages written out so far, in all.
    mutating func beginWriteOut(at now: Double, written: Int) {
        note(now, written)
        writeOuts += 1
    }

    /// A write-out ends.
    mutating func endWriteOut(at now: Double, written: Int) {
        note(now, written)
        writeOuts -= 1
    }

    /// Takes notice of what has been written out, or has not.
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

    /// A sync begins; one at a time.
    mutating func beginSync(at now: Double) { syncBegan = now }

    /// It ends. - Parameter pages: Base pages that it made durable. - Parameter isGood: Else it says nothing of others.
    mutating func endSync(at now: Double, pages: Int, isGood: Bool) {
        defer { syncBegan = nil }
        guard isGood, let syncBegan else { return }
        let time = now - syncBegan
        if pages < FlushBudget.minPages {
            fixedSync += (time - fixedSync) / 4
        } else {
            // One of much that took less says that one of little does too: it may never come again.
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

    /// Whether so much is written out and not durable that a flush would wait for it for long.
    func isSyncDue(unsynced: Int) -> Bool { Double(unsynced) * syncCost > flushTime * FlushBudget.share / 4 }
}
