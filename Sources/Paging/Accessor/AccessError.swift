/// Why an access to an image failed: an errno value.
///
/// An Accessor throws it, and the client gets it as its answer. A plain value: throwing it allocates nothing.
public struct AccessError: Error, Equatable, Sendable {
    /// The errno value, 1 to 255 (EIO, ENOSPC, …).
    public let code: Int32

    /// - Precondition: `code` is 1 to 255, so that it fits beside a flexpage's state.
    public init(_ code: Int32) {
        precondition((1...255).contains(code), "an AccessError needs an errno value, not \(code)")
        self.code = code
    }
}
