import TestSupport

/// How an image misbehaves.
struct Faults {
    /// Base pages whose reading always fails with EIO.
    var badPages: Set<UInt64> = []
    /// One read in this many fails, whatever it reads; 0 for never.
    var readFailsOnceIn = 0
    /// The maximum that a call takes, microseconds. Drawn anew each time, so calls end in another order than they
    /// began.
    var maxDelay = 0
    /// True if bytes come in small odd portions with pauses between, as from short reads.
    var isShort = false

    /// True if every question for extents fails.
    var questionsFail = false

    static let none = Faults()

    /// Some of everything.
    static func random(_ random: inout SplitMix64, pages: UInt64) -> Faults {
        var faults = Faults()
        if random.once(in: 2) {
            for _ in 0..<random.pick(1...4) { faults.badPages.insert(random.next() % pages) }
        }
        if random.once(in: 4) { faults.readFailsOnceIn = random.pick(2...20) }
        if random.once(in: 2) { faults.maxDelay = random.pick(1...200) }
        faults.isShort = random.once(in: 4)
        return faults
    }
}
