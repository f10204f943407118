import Scheduling

@testable import Paging
@testable import Schedules

/// Checks of the checks: if a mistake in the order of events is planted inside the pager, they find it. They run as
/// many schedules as without a mistake, or more where few orders show it (`orders`).
enum FlawChecks {
    static let all =
        Flaw.allCases.map(aFlawIsFound)
        + [aFailureIsShrunk, aFlawIsFoundInAllOrders, aFlawBetweenPromisesIsFound, aWillIsMissed]

    /// The scenario that finds the flaw.
    private static func scenario(_ flaw: Flaw) -> Scenario {
        switch flaw {
        case .droppedWakeUp: .bare
        case .ifForWhile, .lateJoin: .syncs
        case .noLookAfterEntering: .limit
        case .lateAnnouncement: .memory
        case .latePin: .tight
        case .earlyReservationCheck: .zeroes
        case .earlyPieces: .splits
        case .settledInAZero: .takeOver
        }
    }

    /// How many orders are tried at most. Which seed finds a flaw changes with every change of the pager. Only one in
    /// some thousand orders has a process die in a zero during which a sync has made a page durable.
    private static func orders(_ flaw: Flaw) -> Int {
        let count = scenario(flaw).share(of: PagerChecks.perScenario)
        return flaw == .settledInAZero ? 15 * count : count
    }

    private static func aFlawIsFound(_ flaw: Flaw) -> Check {
        let count = orders(flaw)
        return Check("the flaw \(flaw) is found within \(count) orders of \(scenario(flaw).name)") { complaints in
            Flaw.planted = flaw
            defer { Flaw.planted = nil }
            guard let finding = Hunt(scenario(flaw), count: count).run().finding else {
                return complaints.add("nobody noticed")
            }
            print("\(flaw): \(finding.scenario), seed \(finding.seed): \(finding.failure.prefix(120))")
        }
    }

    private static let aFailureIsShrunk = Check("a failure is shrunk to few requests and few deviations") {
        complaints in
        Flaw.planted = .lateJoin
        defer { Flaw.planted = nil }
        guard let finding = Hunt(.syncs, count: PagerChecks.perScenario).run().finding else {
            return complaints.add("nobody noticed")
        }
        var shrinker = Shrinker(finding)
        let (replay, failure) = shrinker.run()
        complaints.expect(replay.plan.requestCount <= 4, replay.description)
        guard case .deviations(let deviations) = replay.strategy else {
            return complaints.add("its order is still drawn")
        }
        complaints.expect(deviations.count <= 8, replay.description)
        complaints.expect(replay.run().failure == failure, "it fails in another way each time")
        Flaw.planted = nil
        complaints.expect(replay.run().failure == nil, "it fails without the flaw")
    }

    private static let aFlawBetweenPromisesIsFound = Check(
        "an image that clears what it is about to write is found by power losses between promises, and only by them"
    ) { complaints in
        let (write, flush) = (Request(kind: .write, sectors: 0..<8), Request(kind: .flush))
        var plan = Plan()
        plan.images[0].faults.clearsFirst = true
        plan.clients = [[write, flush, write, flush]]
        for moments in [PowerLoss.Moments.promises, .all] {
            plan.powerLosses = moments
            let failure = Replay(plan, .walk, seed: 1).run().failure
            let isFound = failure?.hasPrefix("after a crash") ?? false
            complaints.expect(isFound == (moments == .all), "\(moments): \(failure ?? "nobody noticed")")
        }
    }

    private static let aWillIsMissed = Check("a process that dies without its last will is found to lose data") {
        complaints in
        var plan = Scenario.deaths.plan(seed: 1)
        plan.clients = [[Request(kind: .write, sectors: 0..<8)]]
        plan.death = .lastWill(.everyStep, isCarriedOut: false)
        let failure = Replay(plan, .walk, seed: 1).run().failure
        complaints.expect(failure?.hasPrefix("dead at step") ?? false, failure ?? "nobody noticed")
        plan.death = .lastWill(.everyStep)
        complaints.expect(Replay(plan, .walk, seed: 1).run().failure == nil, "the will loses data too")
    }

    private static let aFlawIsFoundInAllOrders = Check("a flaw is found in all orders of two delays") { complaints in
        Flaw.planted = .droppedWakeUp
        defer { Flaw.planted = nil }
        let hasFailed = (1...12).contains { Exhaustion(.pair, seed: $0, delays: 2, most: 200_000).run().failure != nil }
        complaints.expect(hasFailed, "nobody noticed")
    }
}
