/// How long the calls of one kind took so far. A snapshot of a `LatencyHistogram`.
public struct Latencies: Sendable, Equatable {
    /// The number of buckets with an upper bound.
    public static let bucketCount = 27

    /// How many calls took at most 1, 2, 4, … 2²⁶ microseconds and longer than the bound before. The last one counts
    /// those that took longer than 2²⁶ (67 seconds).
    public var counts = [UInt64](repeating: 0, count: bucketCount + 1)
    /// The time of all calls together.
    public var microseconds: UInt64 = 0
    /// How many of the calls failed.
    public var failures: UInt64 = 0

    public init() {}

    /// The number of calls.
    public var count: UInt64 { counts.reduce(0, &+) }
}
