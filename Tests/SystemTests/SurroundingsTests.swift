import Glibc
import TestSupport
import Testing

/// The plugin among nbdkit's filters and options.
@Suite struct SurroundingsTests {
    private func options(_ nbdkit: String...) -> Server.Options { Server.Options(nbdkit: nbdkit) }

    /// The offset filter serves a part of the image.
    @Test func offsetFilter() throws {
        let image = try Image(size: 2 << 20)
        let server = try Server(image, "offset=12345", "range=1000001", options: options("--filter=offset"))
        let client = try Client(server)
        #expect(client.size == 1_000_001)
        try image.check(try client.read(1_000_001, at: 0), at: 12_345)
    }

    /// The partition filter finds and serves a partition.
    @Test func partitionFilter() throws {
        let image = try Image(size: 2 << 20)
        // A master boot record with one partition: 1000 sectors from sector 100 on.
        var record = [UInt8](repeating: 0, count: 512)
        record.replaceSubrange(446..<462, with: [0, 0, 0, 0, 0x83, 0, 0, 0, 100, 0, 0, 0, 0xe8, 3, 0, 0])
        record.replaceSubrange(510..<512, with: [0x55, 0xaa])
        try Files.write(record, to: image.path)
        let server = try Server(image, "partition=1", options: options("--filter=partition"))
        let client = try Client(server)
        #expect(client.size == 512_000)
        try image.check(try client.read(512_000, at: 0), at: 51_200)
    }

    /// The cow filter can lay writes over the read-only export. They are read back, what is around them is the image's,
    /// and the image is untouched.
    @Test func cowFilter() throws {
        let image = try Image(size: 2 << 20)
        let server = try Server(image, options: options("--filter=cow"))
        let client = try Client(server)
        #expect(!client.isReadOnly)
        let news = [UInt8](repeating: 7, count: 70_000)
        try client.write(news, at: 123_456)
        #expect(try client.read(70_000, at: 123_456) == news)
        try image.checkRead(client, 123_456, at: 0)
        try image.checkRead(client, 1 << 20, at: 1 << 20)
        try image.check(try Files.bytes(image.path), at: 0)
    }

    /// With the exitlast filter the server ends by itself, in the orderly way: status 0 and the counters.
    @Test func exitlastFilter() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: options("--filter=exitlast"))
        try image.checkRead(try Client(server), 4096, at: 0)
        #expect(try server.process.wait() == 0)
        #expect(try server.counter("fills") == 1)
    }

    /// The log filter sees requests and their errors.
    @Test func logFilter() throws {
        let image = try Image(size: 1 << 20)
        let log = image.scratch.path("requests")
        let server = try Server(image, "logfile=\(log)", options: options("--filter=log"))
        try image.checkRead(try Client(server), 4096, at: 8192)
        #expect(try server.stop() == 0)
        #expect(try Files.text(log).contains("Read id=1 offset=0x2000 count=0x1000"))
    }

    /// The image is opened before privileges go: another user's server serves a file that only root may read. The path
    /// is relative, though the server also changes its directory.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user"))
    func anotherUser() throws {
        let image = try Image(size: 1 << 20)
        chmod(image.path, 0o600)
        let script = """
            cd \(image.scratch.directory) &&
            nbdkit -U - -u nobody -g nogroup \(try Plugin.built()) disk.img \\
                --run 'nbdcopy "$uri" - | cmp - \(image.path)'
            """
        // With --run the command is the starter's, so root compares the bytes.
        let result = try Subprocess.run("sh", "-c", script)
        #expect(result.status == 0, "\(result.output)")
        let server = try Server(image, options: options("-u", "nobody", "-g", "nogroup"))
        try image.checkRead(try Client(server), 1 << 20, at: 0)
        #expect(try Files.text("/proc/\(server.pid)/status").contains("Uid:\t\(getpwnam("nobody").pointee.pw_uid)"))
    }

    /// -r changes nothing for a read-only export. -s, with which nbdkit serves from its main thread without a fork,
    /// serves.
    @Test func otherWaysToServe() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: options("-r"))
        try image.checkRead(try Client(server), 1 << 20, at: 0)
        let single = "nbd.connect_command([\"nbdkit\", \"-s\", \"\(try Plugin.built())\", \"\(image.path)\"])"
        let result = try Subprocess.run(
            "/usr/bin/python3", "-c", "import nbd; h=nbd.NBD(); h.\(single.dropFirst(4)); print(h.get_size())")
        #expect(result.output.hasSuffix("1048576\n"))
    }
}
