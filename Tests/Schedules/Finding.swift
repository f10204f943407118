import Scheduling

/// A schedule that failed: enough to see it again.
public struct Finding: Sendable {
    public let scenario: String
    public let seed: UInt64
    /// What was wrong.
    public let failure: String
    /// How many schedules had been run by then, with this one.
    public let schedules: Int

    /// What replays it.
    public var command: String { "flexpage fuzz --scenario \(scenario) --seed \(seed) --schedules 1" }
}
