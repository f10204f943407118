/// Chooses between SCHED_BATCH and the default policy for scheduling=auto, from samples of an eighth of a second each
/// in which the server worked.
///
/// Threads of the server and of its clients run for some tens of microseconds and then sleep. While they have the
/// processors to themselves, a thread of SCHED_BATCH is hardly ever preempted. A program that keeps a processor busy
/// changes that: to give it its share, the kernel takes the processor from threads of the server, or lets them wait
/// until that program's time slice of some milliseconds is over. Such a sample is crowded. Threads of the default
/// policy preempt and are preempted in any case, so samples of them say too little. Therefore `normal` ends with a
/// trial of batch:
///
///     batch ──── two crowded samples in a row: the pause is the shortest ───────▶ normal
///       ▲                                                                         │   ▲
///       │ `trust` samples, none crowded                         the pause is over │   │ one crowded sample: the pause
///       │                                                                         ▼   │ is twice the last, up to the
///       └─────────────────────────────────────────────────────────────────────── trial  longest
///
/// Under a lasting crowd, a trial takes up to four samples every half minute, less than 2 % of the time.
struct SchedulingJudge {
    private enum State {
        case batch(wasCrowded: Bool)
        /// With the number of samples that are left.
        case normal(left: Int)
        case trial(left: Int)
    }

    /// The share of preemptions among the switches, and how many times longer threads wait than run, that each make a
    /// sample crowded. Half of both do so, too. Many more clients than processors look like a crowd; then nothing is
    /// gained, and nothing lost.
    ///
    ///     share and wait              alone       beside a busy loop on each processor
    ///     reads, depth 1              0.00  0.7   0.23  32
    ///     hits, depth 16              0.01  1.1   0.54  2.9
    ///     misses, depth 16            0.15  5.5   0.47  15
    ///     reads and writes, depth 16  0.10  5.0   0.38  10
    ///     writes, depth 16            0.17  2.2   0.61  4.7
    ///     flushes, 8 connections      0.15  3.9   0.21  19
    static let preempted = 0.5, wait = 15.0
    /// With fewer switches, a sample says little, and the next one is added to it.
    static let minSwitches: UInt64 = 64
    /// How many samples `normal` lasts: from a second to half a minute.
    static let pauses = 8...256
    /// How many samples a good trial lasts.
    static let trust = 16

    private var state = State.batch(wasCrowded: false)
    private var pause = pauses.lowerBound
    private var sample = SchedulingSample.zero

    /// Whether the server's threads should be SCHED_BATCH.
    var isBatch: Bool {
        if case .normal = state { false } else { true }
    }

    /// Takes what has happened since the last call.
    mutating func take(_ more: SchedulingSample) {
        if case .normal(let left) = state {
            state = left > 1 ? .normal(left: left - 1) : .trial(left: Self.trust)
            return
        }
        sample += more
        guard sample.switches >= Self.minSwitches else { return }
        judge(isCrowded: sample.preempted / Self.preempted + sample.wait / Self.wait >= 1)
        sample = .zero
    }

    private mutating func judge(isCrowded: Bool) {
        switch state {
        case .batch(true) where isCrowded:
            pause = Self.pauses.lowerBound
            state = .normal(left: pause)
        case .trial where isCrowded:
            pause = min(2 * pause, Self.pauses.upperBound)
            state = .normal(left: pause)
        case .trial(let left) where left > 1: state = .trial(left: left - 1)
        default: state = .batch(wasCrowded: isCrowded)
        }
    }
}
