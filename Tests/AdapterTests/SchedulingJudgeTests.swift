import Testing

@testable import Adapter

/// When scheduling=auto leaves SCHED_BATCH, and when it comes back.
@Suite struct SchedulingJudgeTests {
    /// Samples as they are with the processors to themselves, and beside other programs: with many requests under way,
    /// whose threads are preempted, and with few, whose threads wait.
    private static let calm = SchedulingSample(voluntary: 850, involuntary: 150, ran: 20_000, waited: 110_000)
    private static let preempted = SchedulingSample(voluntary: 400, involuntary: 600, ran: 20_000, waited: 90_000)
    private static let waiting = SchedulingSample(voluntary: 160, involuntary: 40, ran: 4000, waited: 120_000)

    private static let shortest = SchedulingJudge.pauses.lowerBound
    private static let longest = SchedulingJudge.pauses.upperBound

    /// How many samples it takes until the judge is of another mind; nil if `limit` do not suffice.
    private func change(of judge: inout SchedulingJudge, with sample: SchedulingSample, limit: Int = 1000) -> Int? {
        let before = judge.isBatch
        for count in 1...limit {
            judge.take(sample)
            if judge.isBatch != before { return count }
        }
        return nil
    }

    private func crowded(_ sample: SchedulingSample = preempted) -> SchedulingJudge {
        var judge = SchedulingJudge()
        judge.take(sample)
        judge.take(sample)
        return judge
    }

    /// It begins with batch, and stays there while nobody else needs the processors.
    @Test func calm() {
        var judge = SchedulingJudge()
        #expect(judge.isBatch)
        #expect(change(of: &judge, with: Self.calm) == nil)
    }

    /// Two crowded samples in a row end it.
    @Test(arguments: [preempted, waiting]) func crowd(_ sample: SchedulingSample) {
        var judge = SchedulingJudge()
        #expect(change(of: &judge, with: sample) == 2)
    }

    /// A program that runs for a moment now and then does not.
    @Test func moments() {
        var judge = SchedulingJudge()
        for _ in 0..<100 {
            judge.take(Self.preempted)
            judge.take(Self.calm)
            #expect(judge.isBatch)
        }
    }

    /// A sample in tenths of the share of preemptions and of the wait that each make it crowded.
    private func sample(preempted: Double, wait: Double) -> SchedulingSample {
        let involuntary = UInt64((SchedulingJudge.preempted * preempted * 1000).rounded())
        return SchedulingSample(
            voluntary: 10_000 - involuntary, involuntary: involuntary, ran: 1000,
            waited: UInt64((SchedulingJudge.wait * wait * 100).rounded()))
    }

    /// Preemptions make a sample crowded, and so do waits, and less of both.
    @Test(arguments: [
        (10.0, 0.0, true), (0, 10, true), (5.1, 5, true), (9.9, 0, false), (0, 9.9, false), (5, 4.9, false),
    ])
    func limits(preempted: Double, wait: Double, isCrowded: Bool) {
        var judge = SchedulingJudge()
        let change = change(of: &judge, with: sample(preempted: preempted, wait: wait))
        #expect(change == (isCrowded ? 2 : nil))
    }

    /// Once the others are gone, the first trial is good, and batch remains.
    @Test func theirEnd() {
        var judge = crowded()
        #expect(change(of: &judge, with: Self.calm) == Self.shortest)
        #expect(change(of: &judge, with: Self.calm) == nil)
    }

    /// While they remain, each trial takes one sample, and each pause is twice as long, up to the longest.
    @Test(arguments: [preempted, waiting]) func lastingCrowd(_ sample: SchedulingSample) {
        var judge = crowded(sample)
        var pause = Self.shortest
        for _ in 0..<10 {
            #expect(change(of: &judge, with: sample) == pause)
            #expect(change(of: &judge, with: sample) == 1)
            pause = min(2 * pause, Self.longest)
        }
        #expect(pause == Self.longest)
    }

    /// What is measured during a pause is of threads with the default policy, and does not count.
    @Test func pausesAreNotJudged() {
        var judge = crowded()
        for _ in 0..<Self.shortest - 1 { judge.take(Self.preempted) }
        #expect(!judge.isBatch)
        judge.take(Self.preempted)
        #expect(judge.isBatch, "the trial")
        judge.take(Self.calm)
        #expect(judge.isBatch)
    }

    /// A crowd late in a trial counts as in its first sample. After a good trial, it takes two samples again, and the
    /// pause is the shortest.
    @Test(arguments: 0...SchedulingJudge.trust) func trials(_ good: Int) {
        var judge = crowded()
        for _ in 0..<Self.shortest { judge.take(Self.preempted) }
        for _ in 0..<good { judge.take(Self.calm) }
        let isTrusted = good == SchedulingJudge.trust
        #expect(change(of: &judge, with: Self.preempted) == (isTrusted ? 2 : 1))
        #expect(change(of: &judge, with: Self.preempted) == (isTrusted ? 1 : 2) * Self.shortest)
    }

    /// Few switches are added up before they count, and are then forgotten.
    @Test func fewSwitches() {
        let few = SchedulingSample(voluntary: 8, involuntary: 8, ran: 160, waited: 160)
        let perSample = Int(SchedulingJudge.minSwitches / 16)
        var judge = SchedulingJudge()
        #expect(change(of: &judge, with: few) == 2 * perSample)
        judge = SchedulingJudge()
        for _ in 0..<perSample - 1 { judge.take(few) }
        judge.take(Self.calm)
        #expect(change(of: &judge, with: Self.preempted) == 2, "the few were judged together with the many")
    }

    /// A stretch of time in which nothing ran is no sample.
    @Test func nothing() {
        var judge = SchedulingJudge()
        #expect(change(of: &judge, with: .zero) == nil)
        #expect(SchedulingSample.zero.preempted == 0 && SchedulingSample.zero.wait == 0)
    }
}
