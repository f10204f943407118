public final class Pages: @unchecked Sendable {
    public static let leastMemory = 1 << 20
    public init(memory: Int) throws(AccessError) {}
    public var counters: Counters { fatalError() }
    public func checkInvariants() {}
}
