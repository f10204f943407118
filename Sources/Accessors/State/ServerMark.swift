import CLinux
import Glibc
import SystemPackage

/// What a server puts on each open file description through which the kernel moves bytes between an image and the
/// memory that the next server takes over.
///
/// **Why.** The kernel outlives the process. After a SIGKILL a read may still be on its way into that memory, over what
/// the next server has stored there, and a write-out may still take from it what the next server has stored meanwhile.
/// Neither "the process is gone" nor a POSIX lock says when that is over. An open file description does: a system call
/// or a ring that uses it holds it until its last byte has moved. And what goes with it, and can be seen from outside,
/// is a lock.
///
/// **What.** The mark is an open-file-description lock for reading, on one byte that no file has. The byte stands for
/// the server: each has a number of its own, drawn at random. The number is in the header of the state file before the
/// first byte moves.
///
///     drawn ── put, on each description ──▶ marked ── the server dies ──▶ marked until its last I/O ends ──▶ gone
///
/// The marks of several servers lie beside each other, and beside the lock of writers (`WriteAccess`), which ends below
/// them. A copy of a descriptor that a fork has made keeps the mark as well.
///
/// Thread rules: a value. Any thread, any time.
public struct ServerMark: Equatable, Sendable {
    /// The number of the server.
    public let server: UInt64

    /// Bits of a server's number that the byte stands for.
    private static let bits: UInt64 = 60

    public init(server: UInt64) { self.server = server }

    /// The mark of a new server.
    /// - Parameter other: The server that it succeeds; 0 if there is none.
    public static func random(after other: UInt64 = 0) -> ServerMark {
        while true {
            let mark = ServerMark(server: UInt64.random(in: 1..<1 << bits))
            if mark.byte != ServerMark(server: other).byte { return mark }
        }
    }

    /// The offset of its byte.
    var byte: Int64 { LINUX_FIRST_MARK + Int64(server & (1 << ServerMark.bits - 1)) }

    /// Marks an open file description.
    /// - Throws: EAGAIN if another program has the file locked up to that byte; what the filesystem says if it has no
    ///   such locks.
    func put(on descriptor: Int32) throws(Errno) { _ = try Linux.checked(linux_mark(descriptor, byte)) }

    /// Checks that marks can be seen here, on a file that has no marks.
    /// - Throws: EOPNOTSUPP if they cannot.
    static func check(on descriptor: Int32, _ table: LockTable = LockTable()) throws(Errno) {
        let probe = random()
        try probe.put(on: descriptor)
        defer { _ = linux_unmark(descriptor, probe.byte) }
        guard try table.locks(startingAt: probe.byte).contains(where: { _ in true }) else { throw .notSupported }
    }
}
