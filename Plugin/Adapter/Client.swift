import Glibc
import Paging

/// One connection: its Pager, and the facts that were settled when it was opened.
///
/// nbdkit holds it as an opaque pointer that owns one reference, from open to close. A request gets from that pointer
/// to the Pager without counting references (`Client.with`). This is safe because nbdkit calls close only after the
/// last request has ended. Any number of requests may run at once.
final class Client: Sendable {
    let pager: Pager
    let served: ServedImage
    let canWrite: Bool
    private let server: Server

    init(_ server: Server, _ served: ServedImage, writeThrough: Bool, canWrite: Bool) {
        self.server = server
        self.served = served
        pager = Pager(served.provider, writeThrough: writeThrough)
        self.canWrite = canWrite
    }

    var isRotational: Bool { served.image.isRotational }

    /// The counters of the server, and in a line of their own those of the client's image.
    var counters: String { "\(server.counters)\n\(served.label): \(served.counters)" }

    /// Makes every change that was answered on any connection durable. Logs if the image's path leads elsewhere by now.
    func flush() throws(AccessError) {
        server.tellOfName(served)
        do throws(AccessError) {
            try pager.flush()
        } catch {
            // If a failed sync has lost data, the client hears of it, and the next one need not.
            if pager.provider.lost == error { pager.provider.noteLossHeard() }
            throw error
        }
    }

    /// Ends the connection.
    func leave() {
        server.disconnect(self)
    }

    /// The bytes that a request addresses.
    /// - Throws: EINVAL if no image could have such a range. The Pager checks the range against its image's size.
    private static func range(_ offset: UInt64, _ count: UInt32) throws(AccessError) -> Range<Int64> {
        let (end, overflow) = Int64(truncatingIfNeeded: offset).addingReportingOverflow(Int64(count))
        guard offset <= UInt64(Int64.max), !overflow else { throw AccessError(EINVAL) }
        return Int64(truncatingIfNeeded: offset)..<end
    }

    /// Performs a request on the client behind nbdkit's handle.
    /// - Returns: 0, or the errno value with which the request failed.
    @inline(__always)
    static func with(_ handle: OpaquePointer, _ request: (Client) throws(AccessError) -> Void) -> Int32 {
        unsafe Unmanaged<Client>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef { client -> Int32 in
            do throws(AccessError) {
                try request(client)
                return 0
            } catch {
                return error.code
            }
        }
    }

    /// The same for a request about `count` bytes at `offset`.
    @inline(__always)
    static func with(
        _ handle: OpaquePointer, _ offset: UInt64, _ count: UInt32,
        _ request: (Client, Range<Int64>) throws(AccessError) -> Void
    ) -> Int32 {
        unsafe with(handle) { client throws(AccessError) in try request(client, try range(offset, count)) }
    }
}
