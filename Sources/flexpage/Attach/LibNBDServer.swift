import CLibNBD
import CLinux
import Glibc

/// Connects to an export with libnbd, and takes the socket away from it when the handshake is over.
///
/// libnbd has no call for that, but it is sound. It reads exactly the bytes of the message that it expects, and never
/// ahead. When it is ready, it has read the last message of the handshake, and a server says nothing without a request.
/// So the socket is between two messages, and the kernel can go on with it. Nothing else of the connection is libnbd's:
/// no TLS, and no structured replies, which the kernel does not understand, and which a server must not send unasked.
/// Nor are metadata contexts or extended headers negotiated, because both take structured replies. The kernel gets a
/// duplicate, and nbd_close, unlike nbd_shutdown, sends nothing and only closes its own descriptor.
struct LibNBDServer: ExportServer {
    let uri: String
    /// Readable when the program is to end: see EndSignals. -1 in tests.
    let stop: Int32

    func connect(count: Int, milliseconds: Int) throws -> (export: Export, connections: [Connection]) {
        var export: Export?
        var connections: [Connection] = []
        let deadline = SystemEvents.clock + milliseconds
        for _ in 0..<count {
            let (next, connection) = try connect(before: deadline)
            if let export, export != next {
                throw AttachError("\(uri): the server has changed the export between two connections")
            }
            export = next
            connections.append(connection)
            // A server that allows only one would make the second wait for the end of the first: see Export.check.
            guard next.flags.contains(.manyConnections) else { break }
        }
        return (export!, connections)
    }

    private func connect(before deadline: Int) throws -> (Export, Connection) {
        guard let handle = nbd_create() else { throw trouble() }
        defer { nbd_close(handle) }
        let transports = UInt32(LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX)
        guard nbd_set_request_structured_replies(handle, false) == 0,
            nbd_set_uri_allow_transports(handle, transports) == 0,
            nbd_set_uri_allow_tls(handle, Int32(LIBNBD_TLS_DISABLE)) == 0,
            nbd_aio_connect_uri(handle, uri) == 0
        else { throw trouble() }
        try finishHandshake(handle, before: deadline)
        guard nbd_get_structured_replies_negotiated(handle) == 0, nbd_get_tls_negotiated(handle) == 0 else {
            throw AttachError(
                "\(uri): the server uses structured replies or TLS unasked, which the kernel's client cannot")
        }
        return (try export(of: handle), try takeSocket(of: handle))
    }

    /// libnbd's own loop would not end for a signal.
    private func finishHandshake(_ handle: OpaquePointer, before deadline: Int) throws {
        while nbd_aio_is_ready(handle) != 1 {
            guard nbd_aio_is_dead(handle) == 0, nbd_aio_is_closed(handle) == 0 else { throw trouble() }
            let direction = nbd_aio_get_direction(handle)
            let reads = direction & UInt32(LIBNBD_AIO_DIRECTION_READ) != 0
            let writes = direction & UInt32(LIBNBD_AIO_DIRECTION_WRITE) != 0
            var descriptors = [
                pollfd(
                    fd: nbd_aio_get_fd(handle), events: Int16((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), revents: 0
                ),
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            ]
            let left = deadline - SystemEvents.clock
            guard left > 0 else { throw AttachError("\(uri): the server does not answer") }
            guard poll(&descriptors, 2, Int32(clamping: left)) > 0 else { continue }
            guard descriptors[1].revents == 0 else { throw Stopped() }
            let events = Int32(descriptors[0].revents)
            // An error shows at the next read or write, with its reason.
            let notified =
                reads && events & (POLLIN | POLLHUP | POLLERR) != 0
                ? nbd_aio_notify_read(handle)
                : writes && events & (POLLOUT | POLLHUP | POLLERR) != 0 ? nbd_aio_notify_write(handle) : 0
            guard notified == 0 else { throw trouble() }
        }
    }

    private func export(of handle: OpaquePointer) throws -> Export {
        let size = nbd_get_size(handle)
        guard size >= 0 else { throw trouble() }
        var flags: ExportFlags = [.hasFlags]
        let allowed: [(Int32, ExportFlags)] = [
            (nbd_is_read_only(handle), .readOnly), (nbd_can_flush(handle), .flush),
            (nbd_can_fua(handle), .forceUnitAccess), (nbd_is_rotational(handle), .rotational),
            (nbd_can_trim(handle), .trim), (nbd_can_zero(handle), .writeZeroes),
            (nbd_can_multi_conn(handle), .manyConnections),
        ]
        for (answer, flag) in allowed where answer == 1 { flags.insert(flag) }
        return Export(
            size: UInt64(size), flags: flags, minBlock: blockSize(handle, LIBNBD_SIZE_MINIMUM),
            maxRequest: blockSize(handle, LIBNBD_SIZE_MAXIMUM))
    }

    private func blockSize(_ handle: OpaquePointer, _ kind: Int32) -> UInt64 {
        UInt64(max(0, nbd_get_block_size(handle, kind)))
    }

    private func takeSocket(of handle: OpaquePointer) throws -> Connection {
        let descriptor = linux_duplicate(nbd_aio_get_fd(handle))
        guard descriptor >= 0 else { throw AttachError("\(uri): \(String(cString: strerror(-descriptor)))") }
        linux_watch_peer(descriptor)
        return Connection(descriptor: descriptor)
    }

    /// What libnbd says, without the name of its function in front.
    private func trouble() -> AttachError {
        let said = nbd_get_error().map { String(cString: $0) } ?? "unknown error"
        return AttachError("\(uri): \(Self.plain(said))")
    }

    static func plain(_ said: String) -> String {
        var text = Substring(said)
        while text.hasPrefix("nbd_"), let end = text.firstRange(of: ": ") { text = text[end.upperBound...] }
        if text.contains("server requires TLS") || text.contains("LIBNBD_TLS_DISABLE") {
            return "the server requires TLS, which the kernel's client does not speak"
        }
        return String(text)
    }
}
