import Scheduling

@testable import Schedules

/// A seed determines all steps of a schedule.
enum ReplayChecks {
    static let all = Scenario.all.map(aSeedIsASchedule) + [drawsAreASchedule]

    private static func aSeedIsASchedule(_ scenario: Scenario) -> Check {
        Check("\(scenario.name): the same seed has the same steps, byte by byte, in another process") { complaints in
            var traces: Set<String> = []
            for seed in 1...6 as ClosedRange<UInt64> {
                let trace = Replay(scenario, seed: seed).trace()
                complaints.expect(trace.utf8.count > 10_000, "hardly a trace: \(trace.prefix(200))")
                complaints.expect(trace == Replay(scenario, seed: seed).trace(), "seed \(seed) differs")
                traces.insert(trace)
            }
            complaints.expect(traces.count == 6, "different seeds have the same steps")
        }
    }

    private static let drawsAreASchedule = Check("draws replay a schedule without what has drawn them") { complaints in
        for seed in 1...6 as ClosedRange<UInt64> {
            let replay = Replay(Scenario.bare, seed: seed)
            let drawn = Replay(replay.plan, .deviations(replay.run().deviations), seed: seed)
            complaints.expect(drawn.trace() == replay.trace(), "seed \(seed) differs")
        }
    }
}
