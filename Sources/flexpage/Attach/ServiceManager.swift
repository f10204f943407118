import Glibc

/// Tells systemd how a service is (sd_notify), if it has started this process with Type=notify.
struct ServiceManager {
    private let address: UnixAddress

    /// nil without NOTIFY_SOCKET, or if it is nothing that a Unix socket can be named.
    init?(path: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@") else { return nil }
        var bytes = Array(path.utf8)
        // An abstract name begins with a zero byte, and has none at its end.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 } else { bytes.append(0) }
        guard let address = UnixAddress(name: bytes) else { return nil }
        self.address = address
    }

    func say(_ lines: String...) {
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        let message = Array(lines.joined(separator: "\n").utf8)
        // Nobody may be there to hear it: not this process's trouble.
        _ = address.withAddress { sendto(socket, message, message.count, Int32(MSG_NOSIGNAL), $0, $1) }
    }
}
