import ArgumentParser

/// The URI of an export that the kernel's client can reach: over TCP or a Unix socket, without TLS.
struct ExportURI: Hashable {
    let text: String

    init(_ text: String) throws(ValidationError) {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else {
            throw ValidationError("expected nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH")
        }
        switch text[..<colon].lowercased() {
        case "nbd", "nbd+unix": self.text = text
        case "nbds", "nbds+unix", "nbds+vsock":
            throw ValidationError(
                "the kernel's client does not speak TLS; use a tunnel, or an export without TLS on a Unix socket")
        default: throw ValidationError("expected nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH")
        }
    }
}
