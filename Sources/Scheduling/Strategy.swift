/// How a schedule is drawn. Everything that a schedule leaves open is a draw: one of a number of options. Option 0 is
/// the default.
public enum Strategy: Sendable, Equatable {
    /// At each step any thread that can continue, all equally likely. Some seeds prefer the running thread.
    case walk
    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS '10): the thread with the highest priority
    /// continues. At a few steps, drawn beforehand, it gets the lowest one.
    case priorities
    /// The running thread continues until it cannot, except at these draws. Shrunk failures have this form. It also
    /// serves to run all schedules with few deviations (delay-bounded scheduling: Emmi et al., POPL '11).
    case deviations([Deviation])

    /// The strategy for the random schedule `seed`. Seeds alternate between two kinds, because each finds what the
    /// other misses.
    public static func drawn(for seed: UInt64) -> Strategy { seed & 1 == 0 ? .walk : .priorities }

    /// Whether every thread that can continue does so before long. If not, a long wait is no failure of the pager.
    var isFair: Bool { self == .walk }
}

/// A draw that did not take option 0.
public struct Deviation: Sendable, Equatable {
    /// The number of the draw in the schedule, from 0.
    public let draw: Int
    public let option: Int

    public init(_ draw: Int, _ option: Int) {
        self.draw = draw
        self.option = option
    }
}
