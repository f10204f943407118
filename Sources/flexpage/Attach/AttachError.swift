/// Why a device cannot be attached, attached again or detached: one sentence that names the thing and the way out.
struct AttachError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
