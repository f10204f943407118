import CNetlink
import Glibc

/// A socket of generic netlink.
final class NetlinkSocket {
    let handle: OpaquePointer

    init() throws {
        guard let handle = nl_socket_alloc() else { throw AttachError("netlink: out of memory") }
        self.handle = handle
        let result = genl_connect(handle)
        guard result == 0 else { throw AttachError("netlink: \(String(cString: nl_geterror(result)))") }
    }

    deinit { nl_socket_free(handle) }

    /// The number by which the kernel knows its NBD client today; nil if there is none.
    var clientFamily: Int32? {
        let family = genl_ctrl_resolve(handle, NBD_GENL_FAMILY_NAME)
        return family < 0 ? nil : family
    }

    /// The same for its reports.
    var reportsGroup: Int32? {
        let group = genl_ctrl_resolve_grp(handle, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME)
        return group < 0 ? nil : group
    }

    /// Sends a message and waits for the kernel's answer: 0, or an error number. The message is freed.
    func ask(_ message: OpaquePointer) -> Int32 {
        defer { nlmsg_free(message) }
        let sent = nl_send_auto(handle, message)
        guard sent >= 0 else { return EIO }
        let answer = Answer()
        let reference = Unmanaged.passUnretained(answer).toOpaque()
        nl_socket_modify_cb(handle, NL_CB_ACK, NL_CB_CUSTOM, { Answer.acknowledged($1) }, reference)
        nl_socket_modify_err_cb(handle, NL_CB_CUSTOM, { Answer.failed($1, $2) }, reference)
        // An answer with data comes in a message before the acknowledgement.
        while !answer.isComplete {
            let result = nl_recvmsgs_default(handle)
            guard result >= 0 || answer.isComplete else { return EIO }
        }
        return withExtendedLifetime(answer) { answer.error }
    }

    private final class Answer {
        var isComplete = false
        var error: Int32 = 0

        static func acknowledged(_ reference: UnsafeMutableRawPointer?) -> Int32 {
            of(reference).isComplete = true
            return Int32(NL_STOP.rawValue)
        }

        static func failed(_ error: UnsafeMutablePointer<nlmsgerr>?, _ reference: UnsafeMutableRawPointer?) -> Int32 {
            let answer = of(reference)
            answer.isComplete = true
            answer.error = -(error?.pointee.error ?? -EIO)
            return Int32(NL_STOP.rawValue)
        }

        private static func of(_ reference: UnsafeMutableRawPointer?) -> Answer {
            Unmanaged<Answer>.fromOpaque(reference!).takeUnretainedValue()
        }
    }
}
