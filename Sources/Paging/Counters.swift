/// What has happened so far, read at one moment.
public struct Counters: Sendable {
    public var hits: UInt64 = 0
    public var misses: UInt64 = 0
    public var fills: UInt64 = 0
    public var failedFills: UInt64 = 0
    public var recycles: UInt64 = 0
    public var waits: UInt64 = 0
    public var bytesInUse: UInt64 = 0
    public var peakBytesInUse: UInt64 = 0
    public init() {}
}
