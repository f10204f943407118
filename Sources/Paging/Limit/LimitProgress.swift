/// How far a limit of the memory is.
public struct LimitProgress: Equatable, Sendable {
    /// Why the limit is not reached, as far as the last attempt could tell.
    public enum Obstacle: Equatable, Sendable {
        /// Pages in too many blocks are in use, or all others are dirty. It is tried again.
        case inUse
        /// The system does not take a block back.
        case notTaken(AccessError)
        /// The system has no memory for a block. It is asked again.
        case notGiven(AccessError)
    }

    /// What was wanted, bytes.
    public internal(set) var limit: Int
    /// Bytes that the server has: pages, free or not, and tables.
    public internal(set) var held: Int
    /// Whether the last change has been made.
    public internal(set) var isReached: Bool
    /// Nil while there is none.
    public internal(set) var obstacle: Obstacle?
    /// How many limits have been wanted so far.
    public internal(set) var orders: Int

    /// Whether the system is in the way: that may last.
    public var isRefused: Bool {
        switch obstacle {
        case .notTaken, .notGiven: true
        case .inUse, nil: false
        }
    }
}
