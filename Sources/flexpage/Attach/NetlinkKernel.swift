import CLinux
import CNetlink
import Glibc

/// The kernel's NBD client, reached over generic netlink.
///
/// nbd-client's older way, by ioctl, has no dead-connection time-out: there, a server that ends fails all requests at
/// once.
final class NetlinkKernel: NBDKernel {
    private let device: NBDDevice
    private let uri: String
    /// Seconds that requests wait for a new connection.
    private let wait: Int
    private let connections: Int
    private let socket: NetlinkSocket
    private let family: Int32

    /// How long a device may be busy with a program that only looks at it, or with its end. In milliseconds.
    private static let patience = 2_000
    private static let endPatience = 10_000
    private static let pause: useconds_t = 20_000

    init(_ device: NBDDevice, uri: String = "", wait: Int = 0, connections: Int = 1) throws {
        self.device = device
        self.uri = uri
        self.wait = wait
        self.connections = connections
        socket = try NetlinkSocket()
        guard let family = socket.clientFamily else {
            throw AttachError("\(device): the kernel's NBD client is not loaded; run: modprobe nbd")
        }
        self.family = family
    }

    /// To be taken before the device is attached, so that no report is missed.
    func reports() throws -> LinkReports {
        guard let group = socket.reportsGroup else {
            throw AttachError("\(device): this kernel does not report dead connections; it needs Linux 4.12 or newer")
        }
        return try LinkReports(device, group: group)
    }

    var isAttached: Bool { device.isAttached }

    // MARK: Attaching

    func attach(_ export: Export, _ sockets: [Connection]) throws -> AttachedAs {
        let deadline = SystemEvents.clock + Self.patience
        while true {
            let error = socket.ask(try connectMessage(export, sockets))
            if error == 0 { break }
            guard error == EBUSY else { throw refused(error) }
            if device.isAttached {
                try goOn(with: export, sockets)
                return .continued
            }
            guard SystemEvents.clock < deadline else {
                throw AttachError("\(device) is open in another program; choose another device")
            }
            usleep(Self.pause)
        }
        tune(export)
        findPartitions()
        return .new
    }

    /// What an earlier run has attached waits for us, if it was the same.
    private func goOn(with export: Export, _ sockets: [Connection]) throws {
        guard let backend = device.backend, backend == uri else {
            throw AttachError(
                "\(device) is attached already\(device.backend.map { ", to \($0)" } ?? ""); choose another device, "
                    + "or run: flexpage detach \(device)")
        }
        guard device.size == export.deviceSize, device.isReadOnly == export.isReadOnly else {
            throw AttachError(
                "\(device) is attached already, and the export is another one now: \(export.deviceSize) bytes"
                    + "\(export.isReadOnly ? ", read-only" : ""), not \(device.size ?? 0)"
                    + "\(device.isReadOnly ? ", read-only" : ""); run: flexpage detach \(device)")
        }
        try attachAgain(sockets)
    }

    func attachAgain(_ sockets: [Connection]) throws {
        let message = try message(NBD_CMD_RECONFIGURE)
        nla_put_string(message, Int32(NBD_ATTR_BACKEND_IDENTIFIER), uri)
        nla_put_u64(message, Int32(NBD_ATTR_DEAD_CONN_TIMEOUT), UInt64(wait))
        put(sockets, into: message)
        let error = socket.ask(message)
        guard error == 0 else { throw refused(error) }
    }

    private func connectMessage(_ export: Export, _ sockets: [Connection]) throws -> OpaquePointer {
        let message = try message(NBD_CMD_CONNECT)
        nla_put_u64(message, Int32(NBD_ATTR_SIZE_BYTES), export.deviceSize)
        nla_put_u64(message, Int32(NBD_ATTR_BLOCK_SIZE_BYTES), export.blockSize)
        nla_put_u64(message, Int32(NBD_ATTR_SERVER_FLAGS), export.flags.rawValue)
        nla_put_u64(message, Int32(NBD_ATTR_DEAD_CONN_TIMEOUT), UInt64(wait))
        // A slow request must not cost the connection: sent again, it could overtake itself.
        nla_put_u64(message, Int32(NBD_ATTR_TIMEOUT), 0)
        nla_put_string(message, Int32(NBD_ATTR_BACKEND_IDENTIFIER), uri)
        put(sockets, into: message)
        return message
    }

    private func message(_ command: Int) throws -> OpaquePointer {
        guard let message = nlmsg_alloc(),
            genlmsg_put(message, 0, 0, family, 0, 0, UInt8(command), UInt8(NBD_GENL_VERSION)) != nil
        else { throw AttachError("netlink: out of memory") }
        nla_put_u32(message, Int32(NBD_ATTR_INDEX), device.index)
        return message
    }

    private func put(_ sockets: [Connection], into message: OpaquePointer) {
        let list = nla_nest_start(message, Int32(NBD_ATTR_SOCKETS))
        for socket in sockets {
            let item = nla_nest_start(message, Int32(NBD_SOCK_ITEM))
            nla_put_u32(message, Int32(NBD_SOCK_FD), UInt32(socket.descriptor))
            nla_nest_end(message, item)
        }
        nla_nest_end(message, list)
    }

    private func refused(_ error: Int32) -> AttachError {
        if error == EPERM { return AttachError("\(device): this needs root") }
        return AttachError(
            "\(device): the kernel's NBD client refuses it: \(String(cString: strerror(error))); "
                + "dmesg may have the reason")
    }

    /// The kernel does not know the largest request that a server takes.
    private func tune(_ export: Export) {
        if connections == 1 { RequestTimer.shorten(device) }
        let path = "\(device.directory)/queue/max_sectors_kb"
        guard export.maxRequest != 0, let kibibytes = Sysfs.text(path).flatMap({ UInt64($0) }),
            kibibytes > export.maxRequest >> 10
        else { return }
        Sysfs.write("\(export.maxRequest >> 10)", to: path)
    }

    /// The kernel looks for partitions when the device is opened for the first time.
    private func findPartitions() {
        let descriptor = linux_open(device.description, false, false, false)
        if descriptor >= 0 { close(descriptor) }
    }

    // MARK: Detaching

    func detach(writingOut: Bool) throws {
        guard device.isAttached else { throw AttachError("\(device) is not attached") }
        let isWritten = try disconnect(writingOut: writingOut)
        try waitForEnd()
        guard isWritten else {
            throw AttachError("\(device): detached, but not all that was written to it has reached the server")
        }
    }

    /// The claim keeps others from mounting it meanwhile.
    private func disconnect(writingOut: Bool) throws -> Bool {
        let claim = try DeviceClaim(device)
        let isWritten = !writingOut || claim.writeOut()
        RequestTimer.restore(device)
        let error = withExtendedLifetime(claim) { () -> Int32 in
            guard let message = try? message(NBD_CMD_DISCONNECT) else { return ENOMEM }
            return socket.ask(message)
        }
        guard error == 0 else { throw refused(error) }
        return isWritten
    }

    /// It can be attached again only once the last program that has it open has closed it.
    private func waitForEnd() throws {
        let deadline = SystemEvents.clock + Self.endPatience
        while device.isAttached || device.size ?? 0 != 0 {
            guard SystemEvents.clock < deadline else {
                throw AttachError("\(device): detached, but a program still has it open")
            }
            usleep(Self.pause)
        }
    }
}
