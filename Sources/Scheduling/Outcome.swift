/// What became of a schedule.
public struct Outcome: Sendable {
    /// What was wrong, or nil.
    public var failure: String?
    /// Steps taken: points at which another thread could have continued.
    public var steps = 0
    /// A number that is the same for two schedules with the same steps.
    public var hash: UInt64 = 0
    /// The draws that did not take option 0. They replay the schedule.
    public var deviations: [Deviation] = []
    /// The number of options at each draw.
    public var options: [UInt8] = []
    /// Whether threads were stopped before their end. Their stacks are never freed.
    public var hasAbandoned = false
    /// The steps, one per line, if the caller asked for them.
    public var trace = ""
}
