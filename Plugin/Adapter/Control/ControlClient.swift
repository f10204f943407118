import Glibc

/// One client of the control socket: sends lines and receives a line for each, in order.
///
/// It has a thread of its own, so a client that hangs keeps nobody waiting. Thread rules: `serve` on its thread, `end`
/// on any.
final class ControlClient: Sendable {
    private let number: Int32
    /// Seconds in which a client must take an answer.
    private static let patience = 10

    /// Takes the descriptor.
    init(_ number: Int32) {
        self.number = number
        var time = timeval(tv_sec: ControlClient.patience, tv_usec: 0)
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(number) }

    /// Makes `serve` return as soon as its order is done.
    func end() { shutdown(number, Int32(SHUT_RDWR)) }

    /// Whether nobody waits for an answer any more: the client has hung up, or the server ends. A client that has only
    /// said that it sends no more orders waits.
    var isGone: Bool {
        var look = pollfd(fd: number, events: 0, revents: 0)
        return unsafe poll(&look, 1, 0) > 0 && Int32(look.revents) & POLLHUP != 0
    }

    /// Answers lines until the client has gone, or sends too long a line, or does not take its answers.
    func serve(_ answer: (String) -> String) {
        var line: [UInt8] = []
        while let received = receive() {
            for byte in received {
                guard byte == UInt8(ascii: "\n") else {
                    guard line.count < ControlOrder.maxLength else {
                        return refuse("the line has more than \(ControlOrder.maxLength) bytes")
                    }
                    line.append(byte)
                    continue
                }
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                let text = String(validating: line, as: UTF8.self)
                line.removeAll(keepingCapacity: true)
                guard send(text.map(answer) ?? refusal("the line is not in UTF-8")) else { return }
            }
        }
    }

    /// Sends a line that refuses the client.
    func refuse(_ text: String) { _ = send(refusal(text)) }

    private func refusal(_ text: String) -> String { ControlAnswer.refused(ControlError(text)).line }

    /// Nil at the end.
    private func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 1024)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(number, $0.baseAddress, $0.count, 0) }
            if count > 0 { return Array(buffer.prefix(count)) }
            guard count < 0, errno == EINTR else { return nil }
        }
    }

    private func send(_ line: String) -> Bool {
        // An answer may have many megabytes, and is not copied.
        var line = line
        line += "\n"
        return line.withUTF8 { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = unsafe Glibc.send(
                    number, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
    }
}
