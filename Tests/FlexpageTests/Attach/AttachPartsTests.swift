import Glibc
import TestSupport
import Testing

@testable import flexpage

/// The small parts of attaching: mounts, locks, systemd, libnbd's words.
@Suite struct AttachPartsTests {
    @Test func mountPoints() throws {
        let table = """
            22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
            90 22 43:0 / /mnt rw,relatime shared:5 master:1 - ext4 /dev/nbd1 rw
            91 22 43:1 / /mnt/part rw - xfs /dev/nbd1p2 rw
            92 22 0:50 / /other rw - btrfs /dev/nbd10 rw
            93 22 0:51 / /dev/nbd1 rw - tmpfs none rw
            broken line
            - -
            """
        #expect(try NBDDevice(parsing: "/dev/nbd1").mountPoints(in: table) == ["/mnt", "/mnt/part"])
        #expect(try NBDDevice(parsing: "/dev/nbd10").mountPoints(in: table) == ["/other"])
        #expect(try NBDDevice(parsing: "/dev/nbd0").mountPoints(in: table) == [])
    }

    @Test func inUse() throws {
        let device = try NBDDevice(parsing: "/dev/nbd3")
        #expect("\(DeviceInUse(device: device, mountPoints: ["/a", "/b"]))" == "/dev/nbd3 is mounted on /a")
        #expect(
            "\(DeviceInUse(device: device, mountPoints: []))"
                == "/dev/nbd3 is in use: mounted elsewhere, as swap, or by another device")
    }

    @Test func oneProcessLooksAfterADevice() throws {
        let scratch = Scratch()
        let device = try NBDDevice(parsing: "/dev/nbd3")
        var first: AttachLock? = try AttachLock(device, directory: scratch.directory)
        #expect(first != nil)
        #expect(
            throws: AttachError(
                "/dev/nbd3: another flexpage attach looks after it; end that one, or choose another device")
        ) { try AttachLock(device, directory: scratch.directory) }
        let other = try AttachLock(try NBDDevice(parsing: "/dev/nbd4"), directory: scratch.directory)
        withExtendedLifetime(other) {}
        first = nil
        first = try AttachLock(device, directory: scratch.directory)
    }

    @Test(arguments: [false, true]) func systemdIsTold(isAbstract: Bool) throws {
        let scratch = Scratch()
        let path = isAbstract ? "@flexpage-test-\(getpid())" : scratch.path("notify")
        let listener = try Listener(path)
        let manager = try #require(ServiceManager(path: path))
        manager.say("READY=1", "STATUS=well")
        #expect(listener.receive() == "READY=1\nSTATUS=well")
    }

    @Test func systemdIsNotThere() throws {
        #expect(ServiceManager(path: nil) == nil)
        #expect(ServiceManager(path: "") == nil)
        #expect(ServiceManager(path: "vsock:2:1") == nil)
        #expect(ServiceManager(path: "/" + String(repeating: "x", count: 200)) == nil)
        // Nobody listens.
        try #require(ServiceManager(path: "/no/such/socket")).say("READY=1")
    }

    @Test(arguments: [
        ("nbd_aio_connect_uri: connect: Connection refused", "connect: Connection refused"),
        ("nbd_aio_notify_read: nbd_x: handshake: no", "handshake: no"),
        ("unknown error", "unknown error"),
    ])
    func plainWords(_ said: String, _ plain: String) { #expect(LibNBDServer.plain(said) == plain) }

    @Test func systemFiles() {
        #expect(Sysfs.text("/no/such/file") == nil)
        #expect(Sysfs.text("/proc/self/comm")?.hasSuffix("\n") == false)
        #expect(!Sysfs.write("1", to: "/no/such/file"))
    }

    /// A datagram socket, as systemd has it.
    private final class Listener {
        private let descriptor: Int32

        init(_ path: String) throws {
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            var bytes = Array(path.utf8)
            if path.hasPrefix("@") { bytes[0] = 0 }
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
            let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (path.hasPrefix("@") ? 0 : 1))
            let result = withUnsafeBytes(of: &name) {
                bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
            }
            guard descriptor >= 0, result == 0 else { throw Trouble("cannot listen at \(path)") }
        }

        deinit { close(descriptor) }

        func receive() -> String {
            var buffer = [UInt8](repeating: 0, count: 1000)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count < 0 ? "nothing" : String(decoding: buffer[..<count], as: UTF8.self)
        }
    }
}
