/// What became of a schedule.
public struct Outcome: Sendable {
    /// What was wrong, or nil.
    public var failure: String?
    /// Steps taken: places at which another thread could have gone on.
    public var steps = 0
    /// A number that two schedules with the same steps share.
    public var hash: UInt64 = 0
    /// The draws that did not take option 0, which replay it.
    public var deviations: [Deviation] = []
    /// How many options there were at each draw.
    public var options: [UInt8] = []
    /// Whether threads were left where they were, so that their stacks are gone for good.
    public var hasAbandoned = false
    /// The steps, one a line, if they were asked for.
    public var trace = ""
}
