import Glibc

/// One of several writes that an Accessor does at once.
public struct WriteOut {
    /// The maximum number of writes at once.
    public static let maxCount = 32

    /// The memory to write: whole base pages, stable until the call returns.
    public let pieces: UnsafeBufferPointer<iovec>
    /// The offset in the image, bytes; a multiple of the base page.
    public let offset: Int64
    /// Why the write failed, or nil. Set by the Accessor.
    public var error: AccessError?

    public init(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        self.pieces = pieces
        self.offset = offset
    }
}
