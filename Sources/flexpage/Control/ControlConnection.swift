import Accessors
import FoundationEssentials
import Glibc
import SystemPackage

/// A client of a server's control socket. One thread at a time.
final class ControlConnection {
    private let number: Int32
    private let path: String
    private var received: [UInt8] = []

    /// What a server answers that has not carried out an order.
    private struct Refusal: Decodable {
        let ok: Bool
        let error: String?
    }

    /// Connects.
    /// - Throws: A sentence that names the path, and the way out.
    init(_ path: String) throws(ControlFailure) {
        self.path = path.withoutControls
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw ControlFailure("\(self.path): the path is too long for a socket")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // A server that has been stopped does not hold up who asks.
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(number, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard number >= 0, result == 0 else {
            let reason = Errno(rawValue: errno)
            throw ControlFailure(
                "\(self.path): cannot connect: \(reason); expected the socket of a server that runs with "
                    + "control=\(self.path)")
        }
    }

    deinit { close(number) }

    /// The answer to an order, as it was sent.
    /// - Throws: Why the server did not carry it out.
    func ask(_ order: String) throws(ControlFailure) -> [UInt8] {
        try send(Array(order.utf8) + [UInt8(ascii: "\n")])
        let answer = try receiveLine()
        let refusal = try decode(Refusal.self, answer)
        guard refusal.ok else { throw ControlFailure("\(path): \((refusal.error ?? "refused").withoutControls)") }
        return answer
    }

    func figures() throws(ControlFailure) -> ServerFigures { try decode(ServerFigures.self, try ask("figures")) }

    private func decode<Value: Decodable>(_ type: Value.Type, _ line: [UInt8]) throws(ControlFailure) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: Data(line))
        } catch {
            throw ControlFailure("\(path): the answer is not one of a Flexpage server of this version")
        }
    }

    private func send(_ bytes: [UInt8]) throws(ControlFailure) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(number, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw hungUp }
            sent += count
        }
    }

    private func receiveLine() throws(ControlFailure) -> [UInt8] {
        while true {
            if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
                defer { received.removeSubrange(...end) }
                return Array(received[..<end])
            }
            var buffer = [UInt8](repeating: 0, count: 65536)
            let count = buffer.withUnsafeMutableBytes { recv(number, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw hungUp }
            received += buffer.prefix(count)
        }
    }

    private var hungUp: ControlFailure { ControlFailure("\(path): the server has hung up, or does not answer") }
}
