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
    init(_ path: String) throws(ToolFailure) {
        self.path = path.withoutControls
        guard let address = UnixAddress(path: path) else {
            throw ToolFailure("\(self.path): the path is too long for a socket")
        }
        number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let number = number
        // A server that is stopped lets nobody in once the socket's queue is full.
        SocketBytes.setPatience(seconds: 10, of: number)
        let result = address.withAddress { connect(number, $0, $1) }
        guard number >= 0, result == 0 else {
            let reason = Errno(rawValue: errno)
            throw ToolFailure(
                "\(self.path): cannot connect: \(reason); expected the socket of a server that runs with "
                    + "control=\(self.path)")
        }
    }

    deinit { close(number) }

    /// The answer to an order, as it was sent.
    /// - Parameter patience: Seconds that the server has for it.
    /// - Throws: Why the server did not carry it out.
    func ask(_ order: String, patience: Int = 10) throws(ToolFailure) -> [UInt8] {
        SocketBytes.setPatience(seconds: patience, of: number)
        guard SocketBytes.send(Array(order.utf8) + [UInt8(ascii: "\n")], to: number) else { throw hungUp }
        let answer = try receiveLine()
        let refusal = try decode(Refusal.self, answer)
        guard refusal.ok else { throw ToolFailure("\(path): \((refusal.error ?? "refused").withoutControls)") }
        return answer
    }

    func figures() throws(ToolFailure) -> ServerFigures { try decode(ServerFigures.self, try ask("figures")) }

    func advice() throws(ToolFailure) -> AdviceFigures { try decode(AdviceFigures.self, try ask("advise")) }

    /// A name as one word of an order: other bytes than letters, digits and some signs are escaped.
    static func word(_ name: String) -> String {
        name.utf8.map { byte in
            let isPlain = byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "%")
            let digits = String(byte, radix: 16)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }

    /// What an answer says.
    func decode<Value: Decodable>(_ type: Value.Type, _ line: [UInt8]) throws(ToolFailure) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: Data(line))
        } catch {
            throw ToolFailure("\(path): the answer is not one of a Flexpage server of this version")
        }
    }

    private func receiveLine() throws(ToolFailure) -> [UInt8] {
        // An answer may have tens of megabytes: no byte is searched twice.
        var searched = 0
        while true {
            if let end = received[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { received.removeSubrange(...end) }
                return Array(received[..<end])
            }
            searched = received.count
            guard let more = SocketBytes.receive(from: number) else { throw hungUp }
            received += more
        }
    }

    private var hungUp: ToolFailure { ToolFailure("\(path): the server has hung up, or does not answer") }
}
