import Glibc
import TestSupport
import Testing

/// The retry filter below: it opens connections anew on threads that nbdkit knows nothing of. The server says at its
/// start what that hides.
@Suite(.serialized) struct FilterRetryTests {
    private static let size = 1 << 20
    private static let new = Image.bytes(0..<size, seed: 9)
    private static let warning = "the retry filter below hides a source that goes away"
    private static let retry = ["retries=20", "retry-delay=1", "retry-exponential=no"]

    private func serve(_ plugin: String, _ parameters: [String], below: [String] = []) throws -> Server {
        try Server(
            parameters + Self.retry + ["memory=8M", "dirty-age=3600"],
            Server.Options(isVerbose: false, pager: .filter, below: ["--filter=retry"] + below, plugin: plugin))
    }

    /// Some requests fail below it, of clients, of write-outs and of reading ahead. None of that reaches a client.
    @Test func injectedErrors() throws {
        let image = try Image(size: Self.size)
        let trouble = image.scratch.path("trouble")
        let server = try serve(
            "file", [image.path, "error=EIO", "error-rate=50%", "error-file=\(trouble)"], below: ["--filter=error"])
        do {
            let client = try Client(server)
            try Files.write([], to: trouble)
            try Threads.run(4) { number in
                switch number {
                case 0: try image.checkRead(try Client(server), 65_536, at: 768 << 10)
                case 1: try client.write(Array(Self.new[..<(512 << 10)]), at: 0, .forced)
                case 2: try Client(server).zero(65_536, at: 640 << 10)
                default:
                    usleep(1_500_000)
                    unlink(trouble)
                }
            }
            try client.flush()
        }
        #expect(try server.stop() == 0, "\(server.log)")
        #expect(server.log.contains(Self.warning))
        #expect(!server.log.contains("Assertion"), "\(server.log)")
        var wanted = Array(Self.new[..<(512 << 10)]) + image.bytes[(512 << 10)...]
        Bytes.zero(640 << 10..<704 << 10, of: &wanted)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// The source is away for a while, under a flush and a read.
    @Test(.enabled(if: QemuNbd.isAvailable, QemuNbd.needs)) func awayAndBack() throws {
        let disk = try QemuNbd("raw", size: Self.size)
        let server = try serve("nbd", ["socket=\(disk.socket)"])
        do {
            let client = try Client(server)
            try client.write(Self.new, at: 0)
            try disk.kill()
            try Threads.run(2) { number in
                if number == 0 { return try client.flush() }
                usleep(300_000)
                try disk.start()
            }
            try Bytes.check(try client.read(Self.size, at: 0), Self.new)
        }
        #expect(try server.stop() == 0, "\(server.log)")
        try disk.kill()
        try Bytes.check(try disk.contents(), Self.new, "the image")
    }

    /// The end wakes it while it waits with data that is not out: all is out, or the log says what is not.
    @Test(arguments: [true, false]) func theEnd(isInTrouble: Bool) throws {
        let image = try Image(size: Self.size)
        let trouble = image.scratch.path("trouble")
        let server = try serve(
            "file", [image.path, "error=EIO", "error-rate=100%", "error-file=\(trouble)", "end-time=3"],
            below: ["--filter=error"])
        let client = try Client(server)
        try client.write(Self.new, at: 0)
        if isInTrouble { try Files.write([], to: trouble) }
        kill(server.pid, SIGTERM)
        client.vanish()
        let status = try server.process.wait()
        let isOut = Bytes.difference(try Files.bytes(image.path), Self.new) == nil
        #expect(isOut != isInTrouble, "\(server.log)")
        let isTold =
            server.log.contains("of 4096 bytes could not be written to the file plugin and are lost")
            || server.log.contains("of 4096 bytes are not on the file plugin and are lost")
        #expect(isOut != isTold, "\(server.log)")
        #expect(status < 128)
    }
}
