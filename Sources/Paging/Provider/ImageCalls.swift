/// How many calls an image's Accessor has begun and ended so far, other than write-outs and syncs. Calls of a disk that
/// hangs do not end. A snapshot.
public struct ImageCalls: Sendable, Equatable {
    public let begun: UInt64
    public let ended: UInt64

    /// Whether any is under way.
    public var isAnyUnderWay: Bool { begun != ended }
}
