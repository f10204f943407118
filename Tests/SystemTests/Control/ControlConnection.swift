import Foundation
import Glibc
import TestSupport

/// A client of a server's control socket. One thread at a time.
final class ControlConnection {
    private let number: Int32
    private var buffer: [UInt8] = []

    /// - Throws: If there is no server.
    init(_ path: String) throws {
        number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let reason = errno
            close(number)
            throw Trouble("cannot connect to \(path): \(String(cString: strerror(reason)))")
        }
    }

    deinit { close(number) }

    /// Sends bytes, and no end of a line.
    func send(_ bytes: [UInt8]) throws {
        guard Glibc.send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw Trouble("the server does not take the order")
        }
    }

    /// The answer to an order.
    func ask(_ order: String) throws -> [String: Any] {
        try send(Array(order.utf8) + [UInt8(ascii: "\n")])
        return try answer()
    }

    /// The next line.
    func answer() throws -> [String: Any] {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Data(buffer[..<end])
                buffer.removeSubrange(...end)
                guard let object = try JSONSerialization.jsonObject(with: line) as? [String: Any] else {
                    throw Trouble("no object: \(String(decoding: line, as: UTF8.self))")
                }
                return object
            }
            guard let more = receive() else { throw Trouble("the server has hung up") }
            buffer += more
        }
    }

    /// Whether the server has ended the connection. Waits for it.
    func hasEnded() -> Bool { receive() == nil }

    private func receive() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = recv(number, &bytes, bytes.count, 0)
        return count > 0 ? Array(bytes.prefix(count)) : nil
    }
}
