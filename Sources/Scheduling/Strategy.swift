/// How a schedule is drawn. Everything that a schedule leaves open is a draw: one of so many options, of which option 0
/// is what would happen without a reason to do otherwise.
public enum Strategy: Sendable, Equatable {
    /// At each step any thread that can go on, all alike; the running one is kept oftener in some seeds.
    case walk
    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS '10): the thread of the highest priority goes on,
    /// and at a few steps, drawn beforehand, it gets the lowest.
    case priorities
    /// The running thread goes on until it cannot, but at these draws: what a shrunk failure is, and how all schedules
    /// of few such deviations are gone through (delay-bounded scheduling: Emmi et al., POPL '11).
    case deviations([Deviation])

    /// The strategy for random schedule `seed`: both kinds by turns, as each finds what the other does not.
    public static func drawn(for seed: UInt64) -> Strategy { seed & 1 == 0 ? .walk : .priorities }

    /// Whether every thread that can go on does so before long: otherwise nobody can be blamed for another's waiting.
    var isFair: Bool { self == .walk }
}

/// A draw that did not take option 0.
public struct Deviation: Sendable, Equatable {
    /// Which draw of the schedule, from 0 on.
    public let draw: Int
    public let option: Int

    public init(_ draw: Int, _ option: Int) {
        self.draw = draw
        self.option = option
    }
}
