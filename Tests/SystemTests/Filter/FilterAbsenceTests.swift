import Glibc
import TestSupport
import Testing

/// A layer that goes away and comes back: qemu-nbd, killed under nbdkit's nbd plugin.
@Suite(.serialized, .enabled(if: QemuNbd.isAvailable, QemuNbd.needs)) struct FilterAbsenceTests {
    private static let away = "the nbd plugin does not answer"
    private static let back = "the nbd plugin answers again"

    private func count(_ text: String, in log: String) -> Int {
        log.split(separator: "\n").count { $0.contains(text) }
    }

    /// While clients write, qemu-nbd is killed and started anew again and again. No request fails. What was answered is
    /// on the image when the server has ended, though qemu-nbd is killed once more then.
    @Test(arguments: ["raw", "qcow2"]) func killedUnderWriters(_ format: String) throws {
        let sectors = 16_384
        let ledger = SectorLedger(sectors: sectors)
        let disk = try QemuNbd(format, size: sectors * SectorLedger.sectorSize)
        for round in 0..<(Soak.isOn ? 20 : 1) {
            let server = try disk.serve("memory=32M", "dirty-age=200ms")
            let kills = 3
            try SectorWriter.run(3, ledger, server, seed: UInt64(round), flushes: 1) {
                // They go on meanwhile.
                ledger.isOver = false
                for _ in 0..<kills {
                    try disk.kill()
                    usleep(UInt32.random(in: 0..<400_000))
                    try disk.start()
                    let flushes = ledger.flushes
                    try Patience.wait(seconds: 60, "no flush is answered: \(server.log)") {
                        ledger.flushes > flushes + 1 ? () : nil
                    }
                }
                ledger.isOver = true
                kill(server.pid, SIGTERM)
            }
            #expect(try server.process.wait() == 0, "\(server.log)")
            #expect((1...kills).contains(count(Self.away, in: server.log)), "\(server.log)")
            #expect(count(Self.back, in: server.log) == count(Self.away, in: server.log), "\(server.log)")
            try disk.kill()
            try ledger.check(try disk.contents(), keeps: .answered)
            try disk.start()
        }
        try disk.kill()
    }

    /// Requests that need the layer wait for it until it has been away for as long as flexpage-retry= says, and fail
    /// then; those that do not need it are answered all the while. What was written stays, and a flush succeeds once
    /// the layer is back. The log has a line for the beginning and one for the end.
    @Test(arguments: [0, 1]) func requestsWait(_ seconds: Int) throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve(
            "memory=8M", "dirty-age=3600", "readahead=off", "flexpage-retry=\(seconds)")
        let new = Image.bytes(0..<1 << 20, seed: 4)
        do {
            let client = try Client(server)
            try client.write(new, at: 0)
            try disk.kill()
            let begin = Patience.now
            #expect(Client.code { _ = try client.read(4096, at: 2 << 20) } == EIO)
            #expect(Client.code { try client.flush() } == EIO)
            let waited = Patience.now - begin
            #expect((seconds * 1000..<seconds * 1000 + 3000).contains(waited), "\(waited) ms")
            try Bytes.check(try client.read(1 << 20, at: 0), new)
            try client.write([1, 2, 3], at: 4096)
            #expect(count(Self.away, in: server.log) == 1 && count(Self.back, in: server.log) == 0, "\(server.log)")
            try disk.start()
            try Patience.wait(seconds: 20, "a flush does not succeed again: \(server.log)") {
                Client.code { try client.flush() } == nil ? () : nil
            }
            #expect(try client.read(4096, at: 2 << 20) == .init(repeating: 0, count: 4096))
        }
        #expect(count(Self.away, in: server.log) == 1 && count(Self.back, in: server.log) == 1, "\(server.log)")
        #expect(try server.stop() == 0)
        var wanted = new + .init(repeating: 0, count: 3 << 20)
        Bytes.put([1, 2, 3], into: &wanted, at: 4096)
        try disk.kill()
        try Bytes.check(try disk.contents(), wanted, "the image")
    }

    /// A request that waits is answered as soon as the layer is back, and no client notices more than that.
    @Test func aRequestIsAnsweredLater() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve("memory=8M", "dirty-age=3600", "readahead=off")
        let client = try Client(server)
        try client.write([UInt8](repeating: 7, count: 8192), at: 0)
        try disk.kill()
        try Threads.run(3) { number in
            switch number {
            case 0: _ = try Client(server).read(4096, at: 2 << 20)
            case 1: try client.flush()
            default:
                usleep(600_000)
                try disk.start()
            }
        }
        #expect(count(Self.away, in: server.log) == 1 && count(Self.back, in: server.log) == 1, "\(server.log)")
    }

    /// A layer that comes back with another size is another image. Nothing is read from it or written to it by those
    /// who had the first one, and one line says so.
    @Test func anotherSize() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve("memory=8M", "dirty-age=3600", "readahead=off", "flexpage-retry=20")
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 7, count: 8192), at: 0)
            try disk.kill()
            try disk.make(size: 2 << 20)
            try disk.start()
            #expect(Client.code { _ = try client.read(4096, at: 1 << 20) } == EIO)
            #expect(Client.code { try client.flush() } == EIO)
            #expect(Client.code { _ = try client.read(4096, at: 1 << 20) } == EIO)
        }
        let line = "the nbd plugin came back with 2097152 bytes, and had 4194304: that is another image"
        #expect(count(line, in: server.log) == 1, "\(server.log)")
        _ = try server.stop()
        #expect(server.log.contains("2 pages of 4096 bytes could not be written to the nbd plugin and are lost"))
        try disk.kill()
        #expect(try disk.contents() == .init(repeating: 0, count: 2 << 20))
    }

    /// A layer that comes back read-only is waited for. nbdkit does not abort, and all is written when it is as before.
    @Test func itComesBackReadOnly() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve("memory=8M", "dirty-age=3600", "readahead=off", "flexpage-retry=1")
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 7, count: 8192), at: 0)
            try disk.kill()
            try disk.start("-r")
            #expect(Client.code { try client.flush() } == EIO)
            #expect(Client.code { try client.zero(65_536, at: 1 << 20) } == EIO)
            #expect(count("came back and can do less than before", in: server.log) == 1, "\(server.log)")
            try disk.kill()
            try disk.start()
            try Patience.wait(seconds: 20, "a flush does not succeed again: \(server.log)") {
                Client.code { try client.flush() } == nil ? () : nil
            }
        }
        #expect(try server.stop() == 0, "\(server.log)")
        try disk.kill()
        #expect(try disk.contents()[..<8192] == .init(repeating: 7, count: 8192)[...])
    }

    /// With the retry filter above, which asks again for what has failed, the same.
    @Test func withTheRetryFilter() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve(
            "memory=8M", "dirty-age=3600", "readahead=off", "retries=3", "retry-delay=1", "retry-exponential=no",
            above: ["--filter=retry"])
        let new = Image.bytes(0..<1 << 20, seed: 4)
        do {
            let client = try Client(server)
            try client.write(new, at: 0)
            try disk.kill()
            try Threads.run(2) { number in
                if number == 0 { return try client.flush() }
                usleep(300_000)
                try disk.start()
            }
            try Bytes.check(try client.read(4 << 20, at: 0), new + .init(repeating: 0, count: 3 << 20))
        }
        #expect(try server.stop() == 0, "\(server.log)")
        try disk.kill()
        try Bytes.check(Array(try disk.contents()[..<(1 << 20)]), new, "the image")
    }

    /// What is below has a cache of its own, which answers while the layer is gone. When that is back, what the cache
    /// does not have is read, written and flushed, though it needs another connection.
    @Test func aCacheBelowAnswers() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve(
            "memory=8M", "dirty-age=3600", "readahead=off", "cache=writethrough", "cache-on-read=true",
            below: ["--filter=cache"])
        let new = Image.bytes(0..<1 << 20, seed: 4)
        do {
            let client = try Client(server)
            #expect(try client.read(4096, at: 0) == .init(repeating: 0, count: 4096))
            try client.write(Array(new[..<65_536]), at: 0)
            try client.flush()
            try grow(old: disk)
            try client.write(new, at: 0)
            try client.flush()
            #expect(try client.read(4096, at: 2 << 20) == .init(repeating: 0, count: 4096))
        }
        #expect(try server.stop() == 0, "\(server.log)")
        try disk.kill()
        try Bytes.check(try disk.contents(), new + .init(repeating: 0, count: 3 << 20), "the image")
    }

    /// The same for a compressed image, of which the xz filter keeps the last blocks.
    @Test(.enabled(if: Subprocess.exists("xz"), "needs xz")) func aCompressedImage() throws {
        let image = try Image(size: 4 << 20)
        let disk = try QemuNbd("raw", size: 1 << 20)
        try disk.kill()
        let packed = try Subprocess.run(
            "sh", "-c", "xz -0 -T1 --block-size=262144 < \(image.path) > \(disk.image)")
        try #require(packed.status == 0, "\(packed.output)")
        try disk.start()
        let server = try disk.serve(
            "memory=8M", "readahead=off", above: ["-r"], below: ["--filter=xz"])
        let client = try Client(server)
        try image.checkRead(client, 4096, at: 0)
        try grow(old: disk)
        try image.checkRead(client, 1 << 20, at: 3 << 20)
        #expect(!server.log.contains("does not answer"), "\(server.log)")
    }

    /// Lets connections become old enough for a read in them to prove nothing, and breaks them.
    private func grow(old disk: QemuNbd) throws {
        usleep(2_100_000)
        try disk.kill()
        try disk.start()
    }

    /// With shared=true, all connections of the nbd plugin are one, and it never makes another. Requests fail when it
    /// is gone, and the server ends; it neither hangs nor crashes.
    @Test func oneConnectionForAll() throws {
        let disk = try QemuNbd("raw", size: 4 << 20)
        let server = try disk.serve(
            "memory=8M", "dirty-age=3600", "readahead=off", "shared=true", "flexpage-retry=1", "end-time=5")
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 7, count: 8192), at: 0)
            try disk.kill()
            try disk.start()
            #expect(Client.code { try client.flush() } == EIO)
        }
        _ = try server.stop()
        #expect(server.log.contains("2 pages of 4096 bytes could not be written to the nbd plugin and are lost"))
        try disk.kill()
    }
}
