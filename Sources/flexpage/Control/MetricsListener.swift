import Glibc
import SystemPackage

/// Answers GET /metrics on a port of 127.0.0.1 (HTTP/1.1, RFC 9112, a connection for each request).
///
/// One client at a time: Prometheus asks every few seconds. A client has some five seconds for its request.
struct MetricsListener {
    private let number: Int32
    let port: UInt16

    private static let maxLength = 8192
    /// Seconds in which a request must come.
    private static let patience = 5

    private static var seconds: Int { MonotonicTime.nanoseconds / 1_000_000_000 }

    /// - Throws: A sentence that names the port.
    init(port: UInt16) throws(ToolFailure) {
        number = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var isOn: Int32 = 1
        setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let number = number
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(number, address, length) == 0 && Glibc.listen(number, 16) == 0
                    && getsockname(number, address, &length) == 0
            }
        }
        guard result else {
            throw ToolFailure("--listen \(port): cannot listen on 127.0.0.1: \(Errno(rawValue: errno))")
        }
        self.port = UInt16(bigEndian: address.sin_port)
    }

    /// Answers for ever.
    /// - Parameter text: The figures at present. If there are none, the client gets the status 503, and the reason.
    func serve(_ text: () throws(ToolFailure) -> String) -> Never {
        while true {
            let client = accept(number, nil, nil)
            guard client >= 0 else {
                usleep(100_000)
                continue
            }
            SocketBytes.setPatience(seconds: MetricsListener.patience, of: client)
            if let request = MetricsListener.request(of: client) {
                _ = SocketBytes.send(Array(MetricsListener.answer(to: request, text).utf8), to: client)
            }
            close(client)
        }
    }

    /// The first line of a request, when all of its header has come; nil if it does not come.
    private static func request(of client: Int32) -> String? {
        var received: [UInt8] = []
        let end = Array("\r\n\r\n".utf8)
        let deadline = seconds + patience
        while received.count < maxLength, seconds < deadline {
            guard let more = SocketBytes.receive(from: client) else { return nil }
            received += more
            guard received.contains(end) else { continue }
            return String(decoding: received.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        }
        return nil
    }

    static func answer(to request: String, _ text: () throws(ToolFailure) -> String) -> String {
        let words = request.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { return answer("400 Bad Request", "no HTTP/1.1\n") }
        guard words[0] == "GET" else { return answer("405 Method Not Allowed", "only GET\n") }
        guard words[1].prefix(while: { $0 != "?" }) == "/metrics" else {
            return answer("404 Not Found", "the figures are at /metrics\n")
        }
        do throws(ToolFailure) {
            return answer("200 OK", try text(), type: "text/plain; version=0.0.4; charset=utf-8")
        } catch {
            return answer("503 Service Unavailable", "\(error)\n")
        }
    }

    private static func answer(_ status: String, _ body: String, type: String = "text/plain; charset=utf-8") -> String {
        "HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
            + body
    }
}
