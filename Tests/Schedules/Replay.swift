import Scheduling

/// A schedule that can be run again: the clients' requests, and how their order is drawn.
public struct Replay: Sendable {
    var plan: Plan
    var strategy: Strategy
    /// The seed of the order.
    var seed: UInt64

    public init(_ scenario: Scenario, seed: UInt64) {
        self.init(scenario.plan(seed: seed), .drawn(for: seed), seed: seed)
    }

    init(_ plan: Plan, _ strategy: Strategy, seed: UInt64) {
        self.plan = plan
        self.strategy = strategy
        self.seed = seed
    }

    /// Runs it in a process of its own.
    /// - Returns: What is wrong, or nil; and the draws until its end, even if that was a crash.
    func run() -> (failure: String?, deviations: [Deviation]) {
        let child = Isolated { Trial.run(plan, strategy, seed: seed, journal: $0.journal).failure }
        return (child.result(), child.journal.deviations)
    }

    /// All its requests, and then its steps, one per line. There are no steps if the process dies.
    public func trace() -> String {
        let text = Isolated { _ in Trial.run(plan, strategy, seed: seed, recordingTrace: true).trace }.result()
        return plan.description + "\n" + (text ?? "")
    }

    /// The requests, and the draws at which the order deviates from the default.
    public var description: String {
        var text = plan.description
        if case .deviations(let deviations) = strategy {
            text += "\n    seed \(seed), \(deviations.count) deviations: "
            text += deviations.map { "\($0.draw):\($0.option)" }.joined(separator: " ")
        }
        return text
    }
}
