import Glibc

/// Tells systemd how a service is (sd_notify), if it has started this process with Type=notify.
struct ServiceManager {
    private let address: [UInt8]

    /// nil without NOTIFY_SOCKET, or if it is nothing that a Unix socket can be named.
    init?(path: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@") else { return nil }
        var bytes = Array(path.utf8)
        // An abstract name begins with a zero byte, and has none at its end.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 } else { bytes.append(0) }
        guard bytes.count <= MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
        address = bytes
    }

    func say(_ lines: String...) {
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: address) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + address.count)
        let message = Array(lines.joined(separator: "\n").utf8)
        // Nobody may be there to hear it: not this process's trouble.
        _ = withUnsafeBytes(of: &name) {
            sendto(
                socket, message, message.count, Int32(MSG_NOSIGNAL),
                $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
        }
    }
}
