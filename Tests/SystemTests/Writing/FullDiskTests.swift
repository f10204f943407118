import Glibc
import Testing

/// A disk that is full: what has been answered is kept, said to be in trouble, and on the image when there is space.
@Suite(.serialized, .enabled(if: !FullDisk.kinds.isEmpty, "it takes root, and tmpfs or a loop device with ext4"))
struct FullDiskTests {
    private static let failing = "writing to the image fails (No space left on device)"
    private static let working = "writing to the image works again"

    private func count(_ text: String, in log: String) -> Int {
        log.split(separator: "\n").count { $0.contains(text) }
    }

    /// Proves that a flush fails with ENOSPC on every connection for as long as data cannot be written out, that FUA and
    /// flushes that are tried again do, that reads give the new data all the while; that once there is space a flush
    /// succeeds and the image holds every byte; and that the log has one line for the trouble and one for its end,
    /// however many blocks and flushes it was.
    @Test(arguments: FullDisk.kinds)
    func flushesFailUntilThereIsSpace(_ kind: String) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 4 << 20)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600", "dirty=90%"])
        let (one, other) = (try Client(server), try Client(server))
        let new = Image.bytes(0..<16 << 20, seed: 5)
        try one.write(new, at: 8 << 20)
        for _ in 0..<3 {
            #expect(Client.code { try one.flush() } == ENOSPC)
            #expect(Client.code { try other.flush() } == ENOSPC)
            try Bytes.check(try other.read(16 << 20, at: 8 << 20), new)
        }
        #expect(Client.code { try other.write(.init(repeating: 7, count: 8192), at: 60 << 20, .forced) } == ENOSPC)
        #expect(Client.code { _ = try one.read(1 << 20, at: 40 << 20) } == nil)
        try Patience.wait(seconds: 60, "the log does not tell") { count(Self.failing, in: server.log) > 0 ? () : nil }
        #expect(count(Self.failing, in: server.log) == 1)
        #expect(count(Self.working, in: server.log) == 0)
        try disk.free()
        try Patience.wait(seconds: 60, "a flush does not succeed again") {
            Client.code { try one.flush() } == nil ? () : nil
        }
        try other.flush()
        let found = try Files.bytes(disk.image)
        #expect(found.count == 64 << 20)
        try Bytes.check(Array(found[8 << 20..<24 << 20]), new, "the image")
        try Patience.wait(seconds: 60, "the log does not tell the end") {
            count(Self.working, in: server.log) > 0 ? () : nil
        }
        #expect(try server.stop() == 0)
        #expect(count(Self.failing, in: server.log) == 1)
        #expect(count(Self.working, in: server.log) == 1)
        #expect(count(" error: ", in: server.log) == 2, "\(server.log.suffix(2000))")
    }

    /// Proves that with the dirty limit reached by what cannot be written out, new writes fail with ENOSPC instead of
    /// waiting; that reads, of old and of new data, go on; that writes work again when there is space; and that what was
    /// answered is on the image then.
    @Test(arguments: FullDisk.kinds)
    func writesFailAtTheLimit(_ kind: String) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 1 << 20)
        let server = try Server([disk.image, "memory=4M", "dirty=40%"])
        let client = try Client(server)
        let piece = 64 << 10
        var answered = 0
        while answered < 1000,
            Client.code({ try client.write(Image.bytes(0..<piece, seed: UInt64(answered)), at: answered * piece) })
                == nil
        {
            answered += 1
        }
        #expect((16..<200).contains(answered), "\(answered) pieces of 64 KiB were answered")
        for _ in 0..<3 {
            #expect(Client.code { try client.write(.init(repeating: 7, count: piece), at: 50 << 20) } == ENOSPC)
        }
        func check() throws {
            for number in 0..<answered {
                let wanted = Image.bytes(0..<piece, seed: UInt64(number))
                try Bytes.check(try client.read(piece, at: number * piece), wanted, at: number * piece)
            }
        }
        try check()
        _ = try client.read(4 << 20, at: 56 << 20)
        #expect(Client.code { try client.flush() } == ENOSPC)
        try disk.free()
        try Patience.wait(seconds: 60, "a flush does not succeed again") {
            Client.code { try client.flush() } == nil ? () : nil
        }
        try client.write(.init(repeating: 7, count: piece), at: 50 << 20)
        try check()
        #expect(try server.stop() == 0)
        let found = try Files.bytes(disk.image)
        for number in 0..<answered {
            try Bytes.check(
                Array(found[number * piece..<(number + 1) * piece]), Image.bytes(0..<piece, seed: UInt64(number)))
        }
        #expect(count(Self.failing, in: server.log) == 1)
    }

    /// Proves that a client who leaves and an end that cannot bring everything to the image say so, each in a line, and
    /// that the process ends all the same.
    @Test(arguments: FullDisk.kinds)
    func theEndTellsWhatIsLost(_ kind: String) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 1 << 20)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600"])
        do {
            let client = try Client(server)
            try client.write(Image.bytes(0..<8 << 20), at: 0)
        }
        let left = "a client left, and what was written is not all on the image yet: No space left on device"
        try Patience.wait(seconds: 60, "the log does not tell") { count(left, in: server.log) == 1 ? () : nil }
        _ = try server.stop()
        let lost = "pages of 4096 bytes could not be written to \(disk.image) and are lost: No space left on device"
        #expect(count(lost, in: server.log) == 1)
    }

    /// Proves that a zero that cannot have its space fails with ENOSPC and leaves all as it was, dirty data too.
    @Test(arguments: FullDisk.kinds)
    func aZeroThatFailsChangesNothing(_ kind: String) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 1 << 20)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600"])
        let client = try Client(server)
        let new = Image.bytes(0..<1 << 20, seed: 5)
        try client.write(new, at: 8 << 20)
        #expect(Client.code { try client.zero(32 << 20, at: 0, .noHole) } == ENOSPC)
        try Bytes.check(try client.read(1 << 20, at: 8 << 20), new)
        try disk.free()
        try client.flush()
        try Bytes.check(Array(try Files.bytes(disk.image)[8 << 20..<9 << 20]), new, "the image")
    }
}
