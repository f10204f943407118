import Scheduling

/// All orders of a plan with at most a given number of delays (delay-bounded scheduling). A delay is a step at which
/// another thread continues although the running thread could. Only orders with more delays are left out.
public struct Exhaustion {
    public struct Result: Sendable {
        public var schedules = 0
        public var failure: String?
        /// Whether there were more schedules than were run.
        public var isCutShort = false
    }

    private let plan: Plan
    private let delays: Int
    private let most: Int
    private let seed: UInt64

    /// - Parameter delays: The maximum number of delays.
    /// - Parameter most: The maximum number of schedules to run.
    public init(_ scenario: Scenario, seed: UInt64, delays: Int, most: Int) {
        plan = scenario.plan(seed: seed)
        self.delays = delays
        self.most = most
        self.seed = (0...).first { Scheduler.isPlain($0) }!
    }

    /// Runs the schedules in a process of their own.
    public func run() -> Result {
        let child = Isolated(processor: 0) { told in
            var failure: String?
            explore([], told, &failure)
            return failure
        }
        var result = Result()
        result.failure = child.result()
        result.schedules = child[0]
        result.isCutShort = child[1] != 0
        return result
    }

    private func explore(_ deviations: [Deviation], _ told: Isolated, _ failure: inout String?) {
        guard told[0] < most else {
            told[1] = 1
            return
        }
        told[0] += 1
        let outcome = Trial.run(plan, .deviations(deviations), seed: seed)
        if let complaint = outcome.failure {
            failure = "\(complaint)\n\(Replay(plan, .deviations(deviations), seed: seed).description)"
            return
        }
        guard deviations.count < delays else { return }
        let first = (deviations.last?.draw ?? -1) + 1
        for draw in first..<max(first, outcome.options.count) {
            for option in 1..<Int(outcome.options[draw]) {
                explore(deviations + [Deviation(draw, option)], told, &failure)
                if failure != nil { return }
            }
        }
    }
}
