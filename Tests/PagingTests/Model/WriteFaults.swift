import TestSupport

/// How a writable image misbehaves. A call fails once in the given number of times; 0 means never.
struct WriteFaults {
    var readFailsOnceIn = 0
    var writeFailsOnceIn = 0
    var syncFailsOnceIn = 0
    var zeroFailsOnceIn = 0
    /// The maximum that a call takes, microseconds.
    var maxDelay = 0
    /// True if it can have holes, and zero without writing.
    var canTrim = true
    /// A mistake that neither reads show nor power losses right after promises: each write-out first zeroes what it is
    /// about to write.
    var clearsFirst = false
    var canZeroFast = true

    static func random(_ random: inout SplitMix64) -> WriteFaults {
        var faults = WriteFaults()
        if random.once(in: 3) { faults.readFailsOnceIn = random.pick(5...40) }
        if random.once(in: 2) { faults.writeFailsOnceIn = random.pick(2...30) }
        if random.once(in: 3) { faults.syncFailsOnceIn = random.pick(2...12) }
        if random.once(in: 3) { faults.zeroFailsOnceIn = random.pick(2...8) }
        if random.once(in: 2) { faults.maxDelay = random.pick(1...300) }
        faults.canTrim = !random.once(in: 5)
        faults.canZeroFast = !random.once(in: 3)
        return faults
    }
}
