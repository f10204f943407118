/// What other amounts of memory would give: how many base pages would have been missed of those that clients have read.
public struct Advice: Sendable, Equatable {
    /// An amount of memory, and what it would give.
    public struct Point: Sendable, Equatable {
        /// The amount, as `memory=` names it, bytes.
        public var memory: Int
        /// Base pages that clients would have read and not found.
        public var misses: Double
    }

    /// In ascending order of memory.
    public var points: [Point] = []
    /// The index in `points` of the memory that there is.
    public let presentIndex = MiniatureSize.present
    /// Base pages that clients have read, from the time on that the advice looks back to.
    public var reads: UInt64 = 0
    /// Those that were missing in the memory that there is.
    public var misses: UInt64 = 0
    /// Base pages among the reads that were simulated.
    public var samples: UInt64 = 0
}
