import Glibc

/// The address of a Unix socket.
struct UnixAddress {
    private let name: [UInt8]

    /// Nil if the path is too long for the system.
    init?(path: String) { self.init(name: Array(path.utf8) + [0]) }

    /// - Parameter name: A path with a zero byte at its end; or an abstract name, which begins with one.
    init?(name: [UInt8]) {
        guard name.count <= MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
        self.name = name
    }

    /// Calls `body` with the address as the system wants it.
    func withAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
