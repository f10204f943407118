import Glibc

/// One of several writes that an Accessor is asked to do at once.
public struct WriteOut {
    /// Most writes that are asked for at once.
    public static let maxCount = 32

    /// Memory, whole base pages, stable until the call returns.
    public let pieces: UnsafeBufferPointer<iovec>
    /// Where in the image they go, bytes; a multiple of the base page.
    public let offset: Int64
    /// Why it failed, or nil. Set by the Accessor.
    public var error: AccessError?

    public init(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        self.pieces = pieces
        self.offset = offset
    }
}
