import Accessors
import Glibc
import SystemPackage

/// The Unix socket of control=. It is made before the fork, while the process has its privileges and a person sees the
/// errors.
///
///     init ──▶ bound, and listening ── remove ──▶ gone
///
/// A server that was killed leaves its socket; the next one takes its place. Nobody takes the place of a server that
/// lives. Thread rules: one thread at a time.
final class ControlSocket: @unchecked Sendable {
    let number: Int32
    /// Absolute: nbdkit changes the directory later.
    let path: String
    /// The file that this has made. If another one has its name by now, it stays.
    private let file: (device: UInt64, inode: UInt64)

    /// - Parameter path: As it was typed.
    /// - Throws: A sentence that names control=.
    init(_ path: String, mode: UInt32) throws(ConfigurationError) {
        self.path = try ControlSocket.absolute(path)
        var address = try ControlSocket.address(self.path)
        try ControlSocket.removeStale(self.path, &address)
        let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw ControlSocket.failure(path, "cannot make a socket") }
        // Not by chmod afterwards: that follows a symbolic link that has come meanwhile.
        let umaskBefore = umask(0o777 & ~mode)
        let bound = unsafe ControlSocket.with(&address) { unsafe bind(number, $0, $1) }
        let reason = errno
        umask(umaskBefore)
        var status = stat()
        guard bound == 0 else {
            close(number)
            errno = reason
            throw ControlSocket.failure(path, "cannot make it")
        }
        guard unsafe lstat(self.path, &status) == 0, listen(number, 16) == 0 else {
            let error = ControlSocket.failure(path, "cannot prepare it")
            close(number)
            unsafe unlink(self.path)
            throw error
        }
        self.number = number
        file = (UInt64(status.st_dev), UInt64(status.st_ino))
    }

    /// Closes the socket and removes its name.
    func remove() {
        var status = stat()
        if unsafe lstat(path, &status) == 0, (UInt64(status.st_dev), UInt64(status.st_ino)) == file {
            unsafe unlink(path)
        }
        close(number)
    }

    private static func failure(_ path: String, _ what: String) -> ConfigurationError {
        ConfigurationError("control=\(path): \(what): \(Errno(rawValue: errno))")
    }

    private static func absolute(_ path: String) throws(ConfigurationError) -> String {
        if path.hasPrefix("/") { return path }
        guard let directory = unsafe getcwd(nil, 0) else { throw failure(path, "cannot find the current directory") }
        defer { unsafe free(directory) }
        return unsafe String(cString: directory) + "/" + path
    }

    private static func address(_ path: String) throws(ConfigurationError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard path.utf8.count <= room else {
            throw ConfigurationError(
                "control=\(path): the path has \(path.utf8.count) bytes; expected at most \(room), which is the "
                    + "system's limit for sockets")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        return address
    }

    /// Removes the socket of a server that has ended.
    private static func removeStale(_ path: String, _ address: inout sockaddr_un) throws(ConfigurationError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ConfigurationError("control=\(path): it exists and is not a socket; expected a path for a new socket")
        }
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let number = socket(AF_UNIX, kind, 0)
        guard number >= 0 else { throw failure(path, "cannot make a socket") }
        defer { close(number) }
        let isAlive = unsafe with(&address, { unsafe connect(number, $0, $1) }) == 0 || errno == EAGAIN
        guard !isAlive else {
            throw ConfigurationError(
                "control=\(path): another process listens there; expected a path of this server's own")
        }
        guard errno == ECONNREFUSED else { throw failure(path, "cannot find out whether a process listens there") }
        guard unsafe unlink(path) == 0 else {
            throw failure(path, "cannot remove the socket of a server that has ended")
        }
    }

    private static func with(
        _ address: inout sockaddr_un, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe call($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
