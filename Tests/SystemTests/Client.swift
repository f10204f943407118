import CLibNBD
import Glibc

/// A client of an NBD server: libnbd, with errors thrown. One thread at a time.
final class Client {
    /// The reason that libnbd, or the server, did not do it.
    struct Failure: Error, Equatable {
        let code: Int32
        let text: String
    }

    let handle: OpaquePointer
    private var isOver = false

    /// A client that is not connected yet.
    init() throws {
        guard let handle = nbd_create() else { throw Client.failure() }
        self.handle = handle
    }

    /// Connects. With `isStrict` false, requests that the server must refuse are sent nevertheless.
    convenience init(socket: String, export: String = "", isStrict: Bool = true) throws {
        try self.init()
        try Client.check(nbd_set_export_name(handle, export))
        if !isStrict { try Client.check(nbd_set_strict_mode(handle, 0)) }
        try Client.check(nbd_add_meta_context(handle, "base:allocation"))
        try Client.check(nbd_connect_unix(handle, socket))
    }

    convenience init(_ server: Server, _ export: String = "", isStrict: Bool = true) throws {
        try self.init(socket: server.socket, export: export, isStrict: isStrict)
    }

    deinit {
        // Says good-bye if the server is still there; closes in any case.
        if isOver { return }
        nbd_shutdown(handle, 0)
        nbd_close(handle)
    }

    /// Goes without a good-bye, like a client that was killed.
    func vanish() {
        isOver = true
        nbd_close(handle)
    }

    var size: Int { Int(nbd_get_size(handle)) }
    var isReadOnly: Bool { nbd_is_read_only(handle) == 1 }
    var isRotational: Bool { nbd_is_rotational(handle) == 1 }
    var canMultiConnect: Bool { nbd_can_multi_conn(handle) == 1 }
    var canCache: Bool { nbd_can_cache(handle) == 1 }
    var canFlush: Bool { nbd_can_flush(handle) == 1 }
    var canTrim: Bool { nbd_can_trim(handle) == 1 }
    var canZero: Bool { nbd_can_zero(handle) == 1 }
    var canForceUnitAccess: Bool { nbd_can_fua(handle) == 1 }
    var canTellAllocation: Bool { nbd_can_meta_context(handle, "base:allocation") == 1 }
    var minimumBlock: Int { Int(nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MINIMUM))) }
    var preferredBlock: Int { Int(nbd_get_block_size(handle, Int32(LIBNBD_SIZE_PREFERRED))) }
    var maximumBlock: Int { Int(nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MAXIMUM))) }

    func read(_ count: Int, at offset: Int) throws -> [UInt8] {
        // Not zeroes, so that bytes that were never delivered show.
        var bytes = [UInt8](repeating: 0xa5, count: count)
        try Client.check(nbd_pread(handle, &bytes, count, UInt64(offset), 0))
        return bytes
    }

    func cache(_ count: Int, at offset: Int) throws {
        try Client.check(nbd_cache(handle, UInt64(count), UInt64(offset), 0))
    }

    /// The server's answer for the range: lengths, and flags (1 hole, 2 zeroes) for each.
    func blockStatus(_ count: Int, at offset: Int, onlyOne: Bool = false) throws -> [(length: Int, flags: UInt32)] {
        let found = Extents()
        var callback = nbd_extent_callback()
        callback.user_data = Unmanaged.passUnretained(found).toOpaque()
        callback.callback = { context, _, _, entries, count, _ in
            guard let context, let entries else { return 0 }
            let found = Unmanaged<Extents>.fromOpaque(context).takeUnretainedValue()
            for index in stride(from: 0, to: count, by: 2) {
                found.all.append((Int(entries[index]), entries[index + 1]))
            }
            return 0
        }
        let flags = onlyOne ? UInt32(LIBNBD_CMD_FLAG_REQ_ONE) : 0
        try withExtendedLifetime(found) {
            try Client.check(nbd_block_status(handle, UInt64(count), UInt64(offset), callback, flags))
        }
        return found.all
    }

    private final class Extents {
        var all: [(length: Int, flags: UInt32)] = []
    }

    static func check(_ result: Int32) throws {
        if result == -1 { throw failure() }
    }

    private static func failure() -> Failure {
        Failure(code: nbd_get_errno(), text: String(cString: nbd_get_error()))
    }
}
