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

    private let counters: [ImageCounters]
    /// Threads that read for warming at present.
    private(set) var underWay = 0
    /// Calls for warming that have begun and ended.
    private var begun: UInt64 = 0
    private var ended: UInt64 = 0
    /// Calls of clients that had begun at the last look, and when that number last grew.
    private var demandBegun: UInt64 = 0
    private var lastDemand = -1e9
    /// Calls of clients that had ended when the last read for warming ended.
    private var demandEnded: UInt64 = 0
    private var nextAmongDemand = 0.0

    init(_ metadata: borrowing Metadata) {
        var counters: [ImageCounters] = []
        for image in 0..<metadata.images { counters.append(ImageCounters(image: UInt16(image), metadata)) }
        self.counters = counters
    }

    /// Whether a read may begin now.
    mutating func mayBegin(at now: Double) -> Bool {
        let demand = demand()
        if demand.begun > demandBegun {
            // The first look finds what had happened before.
            (demandBegun, lastDemand) = (demand.begun, now)
        }
        let isUnderWay = demand.begun > demand.ended
        guard isUnderWay || now - lastDemand < WarmPace.quiet else { return underWay < WarmPace.maxUnderWay }
        guard underWay == 0, now >= nextAmongDemand else { return false }
        return !isUnderWay || demand.ended > demandEnded
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

    /// Calls of clients so far. A call for warming is noted before it begins and after it has ended. So there are never
    /// more than there were, and a few of those under way may be missing.
    private func demand() -> (begun: UInt64, ended: UInt64) {
        var sum = (begun: UInt64(0), ended: UInt64(0))
        for each in counters {
            let calls = each.calls
            sum.begun &+= calls.begun
            sum.ended &+= calls.ended
        }
        let callsBegun = sum.begun > begun ? sum.begun - begun : 0
        let callsUnderWay = sum.begun - sum.ended
        let ownUnderWay = begun - ended
        return (callsBegun, callsBegun - min(callsBegun, callsUnderWay > ownUnderWay ? callsUnderWay - ownUnderWay : 0))
    }
}
