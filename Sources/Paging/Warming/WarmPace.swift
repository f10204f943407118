import Synchronization

/// When a read for warming may begin, so that the reads of clients are left alone.
///
/// - No client's read is under way, and none began a moment ago: two reads for warming at a time, one after the other.
/// - Clients read: one at a time, and a pause after it that is three times as long. So warming takes at most a quarter
///   of the disk's time.
/// - No client's read has ended since the last read for warming, and one is under way: none. The disk may hang.
///
/// What is read ahead of clients counts as theirs.
///
/// Thread rules: under the PrefetchQueue's lock. O(images), with atomic loads.
struct WarmPace: @unchecked Sendable {
    /// Reads for warming at a time.
    static let maxUnderWay = 2
    /// How long the disk is taken for busy after a client's read has begun, seconds.
    private static let quiet = 0.02
    /// The pause between two reads, in units of what the first one took.
    private static let pause = 3.0

    private let records: UnsafeMutablePointer<ImageCounters.Record>
    private let images: Int
    /// Threads that read for warming at present.
    private(set) var underWay = 0
    /// Calls for warming that have begun and ended.
    private var begun = 0
    private var ended = 0
    /// Calls of clients that had begun at the last look, and when that number last grew.
    private var demandBegun = 0
    private var lastDemand = -1e9
    /// Calls of clients that had ended when the last read for warming ended.
    private var demandEnded = 0
    private var nextAmongDemand = 0.0

    init(_ metadata: borrowing Metadata) {
        records = metadata.imageCounters
        images = metadata.images
    }

    /// Whether a read may begin now.
    mutating func mayBegin(at now: Double) -> Bool {
        let demand = demand()
        // The first look finds what had happened before.
        if demand.begun > demandBegun { lastDemand = now }
        // An image that is opened anew has counts that begin anew.
        if demand.begun > demandBegun || demand.begun < demandBegun - WarmPace.slack { demandBegun = demand.begun }
        let isUnderWay = demand.begun > demand.ended
        guard isUnderWay || now - lastDemand < WarmPace.quiet else { return underWay < WarmPace.maxUnderWay }
        guard underWay == 0, now >= nextAmongDemand else { return false }
        return !isUnderWay || demand.ended > demandEnded || demand.ended < demandEnded - WarmPace.slack
    }

    /// A thread begins to read a part.
    mutating func begin() { underWay += 1 }

    /// A thread has read a part.
    mutating func end(at now: Double, tookSince began: Double) {
        underWay -= 1
        demandEnded = demand().ended
        nextAmongDemand = now + WarmPace.pause * (now - began)
    }

    mutating func beginCall() { begun += 1 }
    mutating func endCall() { ended += 1 }

    /// What the counts of clients' calls may lack.
    private static let slack = maxUnderWay

    /// Calls of clients so far. A call for warming is noted before it begins and after it has ended. So there are never
    /// more than there were, and as many as there are reads for warming may be missing.
    private func demand() -> (begun: Int, ended: Int) {
        var (allBegun, allUnderWay) = (0, 0)
        for image in 0..<images {
            let ended = (records + image).pointee.callsEnded.load(ordering: .acquiring)
            let begun = (records + image).pointee.callsBegun.load(ordering: .relaxed)
            allBegun += Int(truncatingIfNeeded: begun)
            allUnderWay += Int(truncatingIfNeeded: begun &- ended)
        }
        let demandBegun = allBegun - begun
        return (demandBegun, demandBegun - max(0, allUnderWay - (begun - ended)))
    }
}
