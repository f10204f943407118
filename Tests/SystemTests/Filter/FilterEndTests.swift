import CLibNBD
import Glibc
import TestSupport
import Testing

/// The end of the server or of a client over filters that sleep: nbdkit wakes them then, and they fail what they are
/// asked for.
@Suite struct FilterEndTests {
    private static let new = Image.bytes(0..<1 << 20, seed: 9)

    /// Over a filter that delays, and over one that limits the rate: all is out, or the log says what is not.
    @Test(arguments: [
        ["--filter=delay", "wdelay=50ms"], ["--filter=delay", "rdelay=50ms"],
        ["--filter=delay", "rdelay=20ms", "wdelay=20ms"],
        ["--filter=rate", "rate=400M"],
    ])
    func allIsOutOrTheLogSaysWhatIsNot(_ way: [String]) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(
            [image.path, "memory=8M", "dirty-age=3600", "end-time=5"] + way.dropFirst(),
            Server.Options(isVerbose: false, pager: .filter, below: [way[0]]))
        let client = try Client(server)
        try client.write(Self.new, at: 0)
        kill(server.pid, SIGTERM)
        usleep(200_000)
        client.vanish()
        let status = try server.process.wait()
        let found = try Files.bytes(image.path)
        let isOut = Bytes.difference(found, Self.new) == nil
        // Those that do not delay writes, or only what has failed, have no reason to fail them.
        if !way.contains(where: { $0.hasPrefix("wdelay") || $0.hasPrefix("rate=") }) { #expect(isOut, "\(server.log)") }
        let isTold =
            server.log.contains("of 4096 bytes could not be written to the file plugin and are lost")
            || server.log.contains("of 4096 bytes are not on the file plugin and are lost")
        #expect(isOut != isTold, "\(server.log)")
        #expect(status < 128)
    }

    /// Over a layer that is away at the signal the end does not wait for longer than end-time=, and says what is lost.
    @Test(.enabled(if: QemuNbd.isAvailable, QemuNbd.needs)) func theLayerIsAway() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve("memory=8M", "dirty-age=3600", "flexpage-retry=1", "end-time=3")
        let client = try Client(server)
        try client.write(Self.new, at: 0)
        try disk.kill()
        kill(server.pid, SIGTERM)
        client.vanish()
        _ = try server.process.wait(seconds: 30)
        #expect(server.log.contains("256 pages of 4096 bytes"), "\(server.log)")
    }

    /// The source shuts down while this server ends, and is there again a little later: all is out and synced.
    @Test func theSourceShutsDownMeanwhile() throws {
        let image = try Image(size: 1 << 20)
        let trouble = image.scratch.path("trouble")
        let fail = "if [ -e \(trouble) ]; then echo ESHUTDOWN >&2; exit 1; fi; "
        let dd = "dd bs=64k status=none"
        let server = try Server(
            [
                "thread_model=echo parallel", "open=\(fail)", "get_size=echo \(1 << 20)", "can_write=true",
                "pread=\(fail)\(dd) if=\(image.path) iflag=skip_bytes,count_bytes skip=$4 count=$3",
                "pwrite=\(dd) of=\(image.path) oflag=seek_bytes seek=$4 conv=notrunc",
                "can_flush=true", "flush=\(fail)", "memory=8M", "dirty-age=3600",
            ], Server.Options(isVerbose: false, pager: .filter, plugin: "eval"))
        let client = try Client(server)
        try client.write(Self.new, at: 0)
        try Files.write([], to: trouble)
        kill(server.pid, SIGTERM)
        client.vanish()
        // By now the last flush waits, or has failed for good.
        usleep(1_000_000)
        unlink(trouble)
        #expect(try server.process.wait() == 0)
        #expect(!server.log.contains("are lost"), "\(server.log)")
        try Bytes.check(try Files.bytes(image.path), Self.new, "\(server.log)")
    }

    /// A client that leaves with dirty data takes the layer from nobody: what it has written goes out, and another
    /// client reads, writes and flushes.
    @Test func aClientLeaves() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(
            [image.path, "memory=8M", "dirty-age=3600", "flexpage-retry=2", "rdelay=20ms", "wdelay=20ms"],
            Server.Options(isVerbose: false, pager: .filter, below: ["--filter=delay"]))
        do {
            let other = try Client(server)
            for part in stride(from: 0, to: 1 << 20, by: 256 << 10) {
                do { try Client(server).write(Array(Self.new[part..<part + (256 << 10)]), at: part) }
                try other.flush()
                try Bytes.check(try other.read(4096, at: part), Array(Self.new[part..<part + 4096]))
            }
        }
        #expect(!server.log.contains("does not answer"), "\(server.log)")
        #expect(try server.stop() == 0, "\(server.log)")
        try Bytes.check(try Files.bytes(image.path), Self.new, "the image")
    }

    /// A client that vanishes while the layer reads for it takes it from nobody either.
    @Test func aClientVanishes() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(
            [image.path, "memory=8M", "readahead=off", "flexpage-retry=2", "rdelay=500ms"],
            Server.Options(pager: .filter, below: ["--filter=delay"]))
        let (one, other) = (try Client(server), try Client(server))
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 16)
        defer { buffer.deallocate() }
        #expect(nbd_aio_pread(one.handle, buffer, 4096, 65_536, nbd_completion_callback(), 0) != -1)
        try Patience.wait(seconds: 30, "it is not read: \(server.log)") {
            nbd_poll(one.handle, 0)
            return server.log.contains("delay: pread count=4096 offset=65536") ? () : nil
        }
        one.vanish()
        try image.checkRead(other, 4096, at: 512 << 10)
        #expect(!server.log.contains("does not answer"), "\(server.log)")
    }
}
