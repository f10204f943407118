import Glibc
import TestSupport

@testable import flexpage

/// Speaks on a socket what the kernel's client speaks after the handshake: requests, and simple replies.
struct RawClient {
    private let connection: Connection

    init(_ connection: Connection) {
        self.connection = connection
        // The kernel waits by itself; this does by read(2).
        let flags = fcntl(connection.descriptor, F_GETFL)
        _ = fcntl(connection.descriptor, F_SETFL, flags & ~O_NONBLOCK)
    }

    func read(offset: UInt64, count: UInt32) throws -> [UInt8] {
        let cookie: UInt64 = 0x0123_4567_89ab_cdef ^ offset
        let request =
            bytes(0x2560_9513 as UInt32) + bytes(0 as UInt32) + bytes(cookie) + bytes(offset) + bytes(count)
        guard send(connection.descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Trouble("the request could not be sent")
        }
        let reply = try receive(16)
        guard reply == bytes(0x6744_6698 as UInt32) + bytes(0 as UInt32) + bytes(cookie) else {
            throw Trouble("no simple reply to the request: \(reply)")
        }
        return try receive(Int(count))
    }

    /// What nbdkit's pattern plugin has: each eight bytes are their offset.
    static func pattern(offset: UInt64, count: Int) -> [UInt8] {
        (0..<count / 8).flatMap { index in
            withUnsafeBytes(of: (offset + UInt64(index) * 8).bigEndian, Array.init)
        }
    }

    private func receive(_ count: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        guard recv(connection.descriptor, &buffer, count, Int32(MSG_WAITALL)) == count else {
            throw Trouble("the connection has ended")
        }
        return buffer
    }

    private func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian, Array.init)
    }
}
