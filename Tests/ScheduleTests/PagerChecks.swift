import Glibc

@testable import Schedules

/// The pager in many orders of events: nothing goes wrong in any of them.
enum PagerChecks {
    static let all = Scenario.all.map(randomOrders) + (1...6).map(allOrdersOfTwoDelays)

    /// The number of schedules of most scenarios. `FLEXPAGE_SOAK=1` runs many more.
    static let perScenario = 2000

    private static func randomOrders(_ scenario: Scenario) -> Check {
        let count = scenario.share(of: getenv("FLEXPAGE_SOAK") == nil ? perScenario : 100_000)
        return Check("\(scenario.name): \(scenario.purpose), in \(count) orders") { complaints in
            let begin = Hunt.milliseconds
            let result = Hunt(scenario, count: count).run()
            let seconds = Double(max(1, Hunt.milliseconds - begin)) / 1000
            print(
                "\(scenario.name): \(result.schedules) schedules, \(result.steps) steps, "
                    + "\(Int(Double(result.schedules) / seconds)) schedules/s, "
                    + "\(Int(Double(result.steps) / seconds)) steps/s")
            guard let finding = result.finding else {
                return complaints.expect(result.schedules == count, "only \(result.schedules) schedules were run")
            }
            complaints.add("\(finding.command): \(finding.failure)")
            var shrinker = Shrinker(finding)
            let (replay, failure) = shrinker.run()
            complaints.add("shrunk to\n\(replay.description)\nwhich fails so: \(failure)")
        }
    }

    private static func allOrdersOfTwoDelays(_ seed: Int) -> Check {
        Check("pair \(seed): all orders in which a thread that could go on is left twice at the most") { complaints in
            let result = Exhaustion(.pair, seed: UInt64(seed), delays: 2, most: 200_000).run()
            if let failure = result.failure { complaints.add(failure) }
            complaints.expect(result.schedules > 100 && !result.isCutShort, "\(result.schedules) are not all")
            print("pair \(seed): \(result.schedules) orders")
        }
    }
}
