import CLibNBD
import Glibc

/// Requests that change the image.
extension Client {
    /// The flags that a request can have.
    struct Flags: OptionSet {
        let rawValue: UInt32

        /// Be answered only when it is durable.
        static let forced = Flags(rawValue: UInt32(LIBNBD_CMD_FLAG_FUA))
        /// For a zero: keep the space allocated.
        static let noHole = Flags(rawValue: UInt32(LIBNBD_CMD_FLAG_NO_HOLE))
        /// For a zero: fail rather than write zeroes out.
        static let fast = Flags(rawValue: UInt32(LIBNBD_CMD_FLAG_FAST_ZERO))
    }

    var canFastZero: Bool { nbd_can_fast_zero(handle) == 1 }

    func write(_ bytes: [UInt8], at offset: Int, _ flags: Flags = []) throws {
        try Client.check(nbd_pwrite(handle, bytes, bytes.count, UInt64(offset), flags.rawValue))
    }

    func flush() throws {
        try Client.check(nbd_flush(handle, 0))
    }

    func trim(_ count: Int, at offset: Int, _ flags: Flags = []) throws {
        try Client.check(nbd_trim(handle, UInt64(count), UInt64(offset), flags.rawValue))
    }

    func zero(_ count: Int, at offset: Int, _ flags: Flags = []) throws {
        try Client.check(nbd_zero(handle, UInt64(count), UInt64(offset), flags.rawValue))
    }

    /// The errno that `request` failed with, or nil.
    static func code(_ request: () throws -> Void) -> Int32? {
        do {
            try request()
            return nil
        } catch {
            return (error as? Client.Failure)?.code ?? -1
        }
    }
}
