/// What the kernel says about the server's threads in a stretch of time: how they gave up processors, how long they
/// ran, and how long they waited for a processor.
struct SchedulingSample {
    static let zero = SchedulingSample(voluntary: 0, involuntary: 0, ran: 0, waited: 0)

    /// Context switches of a thread that went to sleep, and of one that was preempted.
    var voluntary: UInt64
    var involuntary: UInt64
    /// Microseconds, of all threads together.
    var ran: UInt64
    var waited: UInt64

    var switches: UInt64 { voluntary &+ involuntary }

    /// The share of switches at which a thread was preempted.
    var preempted: Double { Double(involuntary) / Double(max(switches, 1)) }

    /// How much longer the threads waited than they ran.
    var wait: Double { Double(waited) / Double(max(ran, 1)) }

    static func += (sum: inout SchedulingSample, more: SchedulingSample) {
        sum.voluntary &+= more.voluntary
        sum.involuntary &+= more.involuntary
        sum.ran &+= more.ran
        sum.waited &+= more.waited
    }
}
