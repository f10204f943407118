import TestSupport
import Testing

@testable import Paging

/// Random reads, writes, zeroes, trims, flushes and cache requests by many threads on overlapping ranges.
@Suite struct WriteModelTests {
    private static let sum = Guarded(PowerLoss.Numbers())

    /// The image may delay, fail in every way and have no holes. The memory (from the minimum on), the share that may
    /// be dirty and the age at which it goes out vary.
    ///
    /// - Every read finds what the commands before and beside it allow.
    /// - Bytes are stable and whole on their way out, and no page is read or written while it is being written.
    /// - Once nothing fails any more a flush succeeds, unless a failed sync has lost something for good. The image then
    ///   holds what was read last.
    /// - Wherever power is lost, each sector holds what was promised last, or something newer.
    @Test(arguments: Seeds.of(plain: 15, optimised: 300, sanitized: 6))
    func commandsAgreeWithTheOracle(seed: UInt64) throws {
        let trial = try WriteTrial(WriteScenario(seed: seed))
        trial.verdict.report("FLEXPAGE_SEED=\(seed)")
        let reads = Verdict()
        trial.oracle.checkReads(reads)
        reads.report("FLEXPAGE_SEED=\(seed), reads")
        let power = Verdict()
        let numbers = trial.losePower(points: Soak.isOn ? 40 : 4, power)
        power.report("FLEXPAGE_SEED=\(seed), power loss")
        let sum = WriteModelTests.sum.withLock { sum in
            sum += numbers
            return sum
        }
        if sum.workloads % 200 == 0 {
            print(
                "power loss: \(sum.workloads) workloads, \(sum.crashPoints) crash points, \(sum.sectorsChecked) "
                    + "sectors in every state, \(sum.images) images built, \(sum.violations) violations")
        }
    }

    /// The tests are themselves tested. Each flaw put between the threads and the pager is found within a few seeds, by
    /// what reads find or by what a crash leaves. No sanitizer has anything to add to that.
    @Test(
        .enabled(if: !Sanitizer.isThread, "the thread sanitizer's time is better spent"),
        arguments: FlawedDisk.Flaw.allCases)
    func flawsAreFound(flaw: FlawedDisk.Flaw) throws {
        for seed in 1...60 as ClosedRange<UInt64> {
            let trial = try WriteTrial(WriteScenario(seed: seed)) { FlawedDisk($0, flaw) }
            let verdict = Verdict()
            if flaw.isAboutDurability {
                _ = trial.losePower(points: 20, verdict)
            } else {
                trial.oracle.checkReads(verdict)
            }
            if verdict.hasFindings || trial.verdict.hasFindings { return }
        }
        Issue.record("no test noticed \(flaw)")
    }
}
