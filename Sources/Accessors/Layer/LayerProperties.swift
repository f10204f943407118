/// What a layer says of itself when a context has been opened.
public struct LayerProperties: Equatable, Sendable {
    /// Bytes.
    public var size: Int64
    /// What the offset and the length of a call must be multiples of, bytes; a power of two.
    public var minBlock: Int
    /// What the ends of a call should be multiples of, where there is a choice, bytes; a multiple of `minBlock`.
    public var preferredBlock: Int
    /// The maximum length of a call, bytes; a multiple of `minBlock`.
    public var maxRequest: Int

    public var canWrite = false
    public var canFlush = false
    public var canZero = false
    public var canZeroFast = false
    public var canTrim = false
    public var knowsExtents = false
    /// Whether contexts see each other's writes, and a flush in one makes durable what was written in others.
    public var isMultiConn = false
    public var isRotational = false

    /// Whether everything that `other` says may be called can be called here.
    func canDoAll(of other: LayerProperties) -> Bool {
        let abilities: [KeyPath<LayerProperties, Bool>] = [
            \.canWrite, \.canFlush, \.canZero, \.canZeroFast, \.canTrim, \.knowsExtents, \.isMultiConn,
        ]
        return minBlock <= other.minBlock && maxRequest >= other.maxRequest
            && abilities.allSatisfy { self[keyPath: $0] || !other[keyPath: $0] }
    }

    /// The longest call that is made of a layer that names no maximum, bytes.
    public static let defaultMaxRequest = 32 << 20

    /// - Parameter minBlock: Bytes; 0 if the layer does not say.
    /// - Parameter preferredBlock: Bytes, a power of two; 0 if the layer does not say.
    /// - Parameter maxRequest: Bytes; 0 if the layer does not say.
    public init(size: Int64, minBlock: Int = 0, preferredBlock: Int = 0, maxRequest: Int = 0) {
        self.size = size
        self.minBlock = max(minBlock, 1)
        self.preferredBlock = max(preferredBlock, self.minBlock)
        let most = maxRequest == 0 ? Self.defaultMaxRequest : min(maxRequest, Self.defaultMaxRequest)
        self.maxRequest = max(most / self.minBlock * self.minBlock, self.minBlock)
    }
}
