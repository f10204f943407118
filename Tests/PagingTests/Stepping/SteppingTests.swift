import Glibc
import TestSupport
import Testing

@testable import Paging

/// A server may die before any instruction (`SteppedTrial`). It is the optimised code that counts: a compiler may drop
/// or move plain stores.
@Suite(
    .serialized, .ifOptimised, .enabled(if: SteppedTrial.isPossible, Comment(rawValue: SteppedTrial.needs)))
struct SteppingTests {
    /// Draws when the bytes of frames are looked at.
    private static let seed =
        getenv("FLEXPAGE_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 1...999_999)

    private func trial(_ operation: SteppedOperation) throws -> SteppedTrial {
        try SteppedTrial(operation, seed: Self.seed).rehearse()
        let trial = try SteppedTrial(operation, seed: Self.seed)
        trial.run()
        return trial
    }

    /// Whatever was answered is there.
    @Test(arguments: SteppedOperation.all) func nothingIsLost(_ operation: SteppedOperation) throws {
        let trial = try trial(operation)
        #expect(trial.finding == nil, "FLEXPAGE_SEED=\(Self.seed)")
        #expect(trial.steps > 500 && trial.trials > 3, "\(trial.steps) steps, \(trial.trials) trials")
    }

    /// The operations do what they are named after.
    @Test func operations() throws {
        for (name, count) in [("move", \Counters.moves), ("recycles", \Counters.recycles)] {
            let operation = try #require(SteppedOperation.all.first { $0.description.contains(name) })
            let trial = try SteppedTrial(operation, seed: 1)
            let before = trial.rig.pages.counters[keyPath: count]
            trial.rehearse()
            #expect(trial.rig.pages.counters[keyPath: count] > before)
        }
    }

    /// Planted mistakes are found.
    @Test(arguments: SteppedOperation.mistakes) func mistakes(_ operation: SteppedOperation) throws {
        let finding = try trial(operation).finding
        #expect(finding?.contains("neither old nor new") == true)
    }
}
