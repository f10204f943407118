import Scheduling

/// Makes a schedule that fails as short as it can. It drops clients and requests, and then parts of the order that the
/// failure does not need. It is greedy, and each try runs a schedule.
public struct Shrinker {
    private var best: Replay
    private var failure: String
    private var left: Int
    /// Whether `best` fails with its deviations alone, without a strategy. Only then can deviations be dropped.
    private var isPinned = false

    /// If a shorter plan does not fail in the same order, this many other orders are tried.
    private static let ordersOfPlan: UInt64 = 60

    /// - Parameter tries: The maximum number of schedules to run.
    public init(_ finding: Finding, tries: Int = 4000) {
        best = Replay(Scenario.named(finding.scenario)!, seed: finding.seed)
        failure = finding.failure
        left = tries
    }

    /// - Returns: The shortest schedule found, and what is wrong with it.
    public mutating func run() -> (Replay, failure: String) {
        dropRequests()
        pin()
        if isPinned {
            dropDeviations()
            while dropRequests() { dropDeviations() }
        }
        return (best, failure)
    }

    /// Takes `replay` if it fails too.
    private mutating func take(_ replay: Replay) -> Bool {
        guard left > 0 else { return false }
        left -= 1
        guard let failure = replay.run().failure else { return false }
        (best, self.failure) = (replay, failure)
        return true
    }

    /// Takes `plan` if it fails in the order of `best`, or in another one.
    private mutating func take(_ plan: Plan) -> Bool {
        if take(Replay(plan, best.strategy, seed: best.seed)) { return true }
        guard !isPinned else { return false }
        for seed in 0..<Shrinker.ordersOfPlan where take(Replay(plan, .drawn(for: seed), seed: seed)) { return true }
        return false
    }

    /// Drops clients and requests that the failure does not need.
    /// - Returns: Whether any could be dropped.
    @discardableResult
    private mutating func dropRequests() -> Bool {
        var hasDropped = false
        for client in best.plan.clients.indices where !best.plan.clients[client].isEmpty {
            var plan = best.plan
            plan.clients[client] = []
            if take(plan) { hasDropped = true }
        }
        for client in best.plan.clients.indices {
            for index in best.plan.clients[client].indices.reversed() {
                var plan = best.plan
                plan.clients[client].remove(at: index)
                if take(plan) { hasDropped = true }
            }
        }
        return hasDropped
    }

    /// Replaces the strategy by the draws that it has made.
    private mutating func pin() {
        let deviations = best.run().deviations
        isPinned = take(Replay(best.plan, .deviations(deviations), seed: best.seed))
    }

    /// Drops deviations, many at once first (ddmin: Zeller and Hildebrandt, 2002).
    private mutating func dropDeviations() {
        guard case .deviations(var deviations) = best.strategy else { return }
        var size = max(1, deviations.count / 2)
        while true {
            var begin = 0
            while begin < deviations.count {
                var fewer = deviations
                fewer.removeSubrange(begin..<min(begin + size, deviations.count))
                if take(Replay(best.plan, .deviations(fewer), seed: best.seed)) {
                    deviations = fewer
                } else {
                    begin += size
                }
            }
            if size == 1 { return }
            size = max(1, size / 2)
        }
    }
}
