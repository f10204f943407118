import Scheduling

/// One schedule, run once more.
public struct Replay {
    let plan: Plan
    let strategy: Strategy

    public init(_ scenario: Scenario, seed: UInt64) {
        plan = scenario.plan(seed: seed)
        strategy = .drawn(for: seed)
    }

    init(_ plan: Plan, _ strategy: Strategy) {
        self.plan = plan
        self.strategy = strategy
    }

    /// What becomes of it, in a process of its own: nil if nothing is wrong.
    public func failure() -> String? {
        Isolated { _ in Trial.run(plan, strategy).failure }.result()
    }

    /// All its requests, and then its steps, one a line.
    public func trace() -> String {
        let text = Isolated { _ in Trial.run(plan, strategy, recordingTrace: true).trace }.result()
        return plan.description + "\n" + (text ?? "")
    }
}
