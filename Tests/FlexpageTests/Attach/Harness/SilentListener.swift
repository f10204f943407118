import Glibc
import TestSupport

/// A Unix socket that clients can connect to, and on which nobody ever says anything.
final class SilentListener {
    let uri: String
    private let descriptor: Int32

    init(_ path: String) throws {
        uri = "nbd+unix:///?socket=\(path)"
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafeBytes(of: &name) {
            bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
        }
        guard descriptor >= 0, result == 0, listen(descriptor, 4) == 0 else {
            throw Trouble("cannot listen at \(path)")
        }
    }

    deinit { close(descriptor) }
}
