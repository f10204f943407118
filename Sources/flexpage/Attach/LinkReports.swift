import CNetlink
import Glibc

/// The kernel's reports of dead connections (NBD_CMD_LINK_DEAD) of one device.
final class LinkReports {
    private let socket: NetlinkSocket
    private let index: UInt32
    private var isDead = false

    var descriptor: Int32 { nl_socket_get_fd(socket.handle) }

    init(_ device: NBDDevice, group: Int32) throws {
        socket = try NetlinkSocket()
        index = device.index
        let handle = socket.handle
        nl_socket_disable_seq_check(handle)
        guard nl_socket_add_membership(handle, group) == 0, nl_socket_set_nonblocking(handle) == 0 else {
            throw AttachError("\(device): cannot listen to the kernel's reports: \(String(cString: strerror(errno)))")
        }
        let reference = Unmanaged.passUnretained(self).toOpaque()
        nl_socket_modify_cb(
            handle, NL_CB_VALID, NL_CB_CUSTOM,
            { message, reference in
                Unmanaged<LinkReports>.fromOpaque(reference!).takeUnretainedValue().read(message!)
                return Int32(NL_OK.rawValue)
            }, reference)
    }

    /// Takes all reports that have come, and returns whether one is about the device. If the kernel had to throw some
    /// away, one of these may have been.
    func take() -> Bool {
        isDead = false
        var result: Int32
        repeat { result = nl_recvmsgs_default(socket.handle) } while result >= 0
        return isDead || result != -NLE_AGAIN
    }

    private func read(_ message: OpaquePointer) {
        guard let header = genlmsg_hdr(nlmsg_hdr(message)), Int(header.pointee.cmd) == NBD_CMD_LINK_DEAD,
            let attribute = nla_find(
                genlmsg_attrdata(header, 0), genlmsg_attrlen(header, 0), Int32(NBD_ATTR_INDEX))
        else { return }
        if nla_get_u32(attribute) == index { isDead = true }
    }
}
