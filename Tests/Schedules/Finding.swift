import Scheduling

/// A schedule that failed, with all that is needed to run it again.
public struct Finding: Sendable {
    public let scenario: String
    public let seed: UInt64
    /// What was wrong.
    public let failure: String
    /// How many schedules had been run by then, including this one.
    public let schedules: Int

    /// The command that replays it.
    public var command: String { "flexpage fuzz --scenario \(scenario) --seed \(seed) --schedules 1" }
}
