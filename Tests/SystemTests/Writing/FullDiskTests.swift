import Glibc
import TestSupport
import Testing

/// A disk that is full: what has been answered is kept, the trouble is reported, and the data is on the image once
/// there is space.
@Suite(.serialized, .enabled(if: !FullDisk.kinds.isEmpty, "needs root, and tmpfs or a loop device with ext4"))
struct FullDiskTests {
    private static let failing = "writing to the image fails (No space left on device)"
    private static let working = "writing to the image works again"

    private func count(_ text: String, in log: String) -> Int {
        log.split(separator: "\n").count { $0.contains(text) }
    }

    /// As long as data cannot be written out, a flush fails with ENOSPC on every connection, and so do FUA and flushes
    /// that are tried again. Reads give the new data all the while. Once there is space a flush succeeds and the image
    /// holds every byte. The log has one line for the trouble and one for its end, however many blocks and flushes were
    /// involved.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func flushesFailUntilThereIsSpace(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 4 << 20)
        let server = try Server(
            [disk.image, "memory=64M", "dirty-age=3600", "dirty=90%"], Server.Options(pager: pager))
        try work(disk, server)
        try Patience.wait(seconds: 60, "the log does not report the end") {
            count(Self.working, in: server.log) > 0 ? () : nil
        }
        #expect(try server.stop() == 0)
        #expect(count(Self.failing, in: server.log) == 1)
        #expect(count(Self.working, in: server.log) == 1)
        // nbdkit's file plugin has a line for each of its errors.
        #expect(pager == .filter || count(" error: ", in: server.log) == 2, "\(server.log.suffix(2000))")
    }

    /// Two clients meet a full disk, and then space.
    private func work(_ disk: FullDisk, _ server: Server) throws {
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
        try Patience.wait(seconds: 60, "the log is silent") { count(Self.failing, in: server.log) > 0 ? () : nil }
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
    }

    private static let piece = 64 << 10

    /// What clients write as piece `number`.
    private func piece(_ number: Int) -> [UInt8] { Image.bytes(0..<Self.piece, seed: UInt64(number) + 1) }

    /// The dirty limit is full of pages that cannot be written out. New writes fail with ENOSPC instead of waiting, and
    /// reads, of old and of new data, go on. Writes work again when there is space, and what was answered is on the
    /// image then.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func writesFailAtTheLimit(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 1 << 20)
        let server = try Server([disk.image, "memory=4M", "dirty=40%"], Server.Options(pager: pager))
        let answered = try writeToTheLimit(disk, server)
        #expect(try server.stop() == 0)
        let found = try Files.bytes(disk.image)
        for number in 0..<answered {
            try Bytes.check(Array(found[number * Self.piece..<(number + 1) * Self.piece]), piece(number), "the image")
        }
        #expect(count(Self.failing, in: server.log) == 1)
    }

    /// Writes pieces until one fails, and checks that everything goes on when there is space. Returns the number of
    /// pieces that were answered.
    private func writeToTheLimit(_ disk: FullDisk, _ server: Server) throws -> Int {
        let client = try Client(server)
        var answered = 0
        while answered < 800, Client.code({ try client.write(piece(answered), at: answered * Self.piece) }) == nil {
            answered += 1
        }
        #expect((16..<200).contains(answered), "\(answered) pieces of 64 KiB were answered")
        for _ in 0..<3 { #expect(Client.code { try client.write(piece(7), at: 50 << 20) } == ENOSPC) }
        try check(answered, client)
        _ = try client.read(4 << 20, at: 56 << 20)
        #expect(Client.code { try client.flush() } == ENOSPC)
        try disk.free()
        try Patience.wait(seconds: 60, "a flush does not succeed again") {
            Client.code { try client.flush() } == nil ? () : nil
        }
        try client.write(piece(7), at: 50 << 20)
        try check(answered, client)
        return answered
    }

    private func check(_ answered: Int, _ client: Client) throws {
        for number in 0..<answered {
            let found = try client.read(Self.piece, at: number * Self.piece)
            try Bytes.check(found, piece(number), at: number * Self.piece)
        }
    }

    /// A client that leaves, and an end that cannot bring everything to the image, are reported in a line each. The
    /// process ends all the same.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func theEndTellsWhatIsLost(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 1 << 20)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600"], Server.Options(pager: pager))
        do {
            let client = try Client(server)
            try client.write(Image.bytes(0..<8 << 20), at: 0)
        }
        let left = "a client left before all written data was on the image and synced: No space left on device"
        try Patience.wait(seconds: 60, "the log is silent") { count(left, in: server.log) == 1 ? () : nil }
        _ = try server.stop()
        let lost =
            "pages of 4096 bytes could not be written to \(pager.label(disk.image)) and are lost: "
            + "No space left on device"
        #expect(count(lost, in: server.log) == 1)
    }

    /// Pages that have their space are on the image at the first flush, though it fails because of their neighbours. A
    /// FUA write of one such page among others without space succeeds. At the end every page that can be on the image
    /// is. The end reports the number of pages that really could not be written.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func neighboursOfWhatHasNoSpaceAreWritten(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 2 << 20)
        let (page, old) = (4096, [UInt8](repeating: 9, count: 4096))
        // Space for 32 pages side by side, and for single ones among others that have none.
        for number in [70] + Array(32..<64) { try Files.write(old, to: disk.image, at: number * page) }
        try disk.allocate(old, at: 100 * page)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600"], Server.Options(pager: pager))
        let new = Image.bytes(0..<128 * page, seed: 8)
        do {
            let client = try Client(server)
            for begin in [32, 0, 96, 64] {
                try client.write(Array(new[begin * page..<(begin + 32) * page]), at: begin * page)
            }
            #expect(Client.code { try client.flush() } == ENOSPC)
            let found = try Files.bytes(disk.image)
            try Bytes.check(Array(found[32 * page..<64 * page]), Array(new[32 * page..<64 * page]), "the image")
            #expect(Client.code { try client.write(old, at: 70 * page, .forced) } == nil)
            try Bytes.check(try client.read(70 * page, at: 0), Array(new[..<(70 * page)]))
        }
        _ = try server.stop()
        let lost =
            " pages of 4096 bytes could not be written to \(pager.label(disk.image)) and are lost: "
            + "No space left on device"
        #expect(count("error: 94\(lost)", in: server.log) == 1, "\(server.log.suffix(1000))")
        let found = try Files.bytes(disk.image)
        try Bytes.check(Array(found[70 * page..<71 * page]), old, "the page that was forced")
        try Bytes.check(Array(found[100 * page..<101 * page]), Array(new[100 * page..<101 * page]), "the lonely page")
    }

    /// A few dirty pages that cannot be written do not keep the memory of everything that was written with them. More
    /// is written than there is memory, and all but one page of each write is trimmed again. Reads of what is not in
    /// memory are answered, and the server ends on request.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func aFewDirtyPagesLeaveRoomForReads(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 256 << 20, left: 1 << 20)
        try disk.allocate([UInt8](repeating: 9, count: 4096), at: 0)
        let server = try Server([disk.image, "memory=16M", "dirty-age=3600"], Server.Options(pager: pager))
        do {
            let client = try Client(server)
            for number in 1...40 {
                let (size, offset) = (number <= 20 ? 1 << 20 : 64 << 10, number << 20)
                try client.write([UInt8](repeating: 7, count: size), at: offset)
                try client.trim(size - 4096, at: offset)
            }
            for megabyte in 60..<100 {
                try Bytes.check(try client.read(1 << 20, at: megabyte << 20), .init(repeating: 0, count: 1 << 20))
            }
            try Bytes.check(try client.read(4096, at: 0), .init(repeating: 9, count: 4096))
            #expect(Client.code { try client.flush() } == ENOSPC)
        }
        _ = try server.stop()
        #expect(count("error: 40 pages of 4096 bytes could not be written", in: server.log) == 1)
    }

    /// A zero that cannot have its space fails with ENOSPC and changes nothing: not what is dirty, not what is clean,
    /// and not what is on the image.
    @Test(arguments: FullDisk.kinds, Pager.allCases)
    func aZeroThatFailsChangesNothing(_ kind: String, _ pager: Pager) throws {
        let disk = try FullDisk(kind, imageSize: 64 << 20, left: 4 << 20)
        let server = try Server([disk.image, "memory=64M", "dirty-age=3600"], Server.Options(pager: pager))
        let client = try Client(server)
        let (old, new) = (Image.bytes(0..<1 << 20, seed: 4), Image.bytes(0..<1 << 20, seed: 5))
        try client.write(old, at: 4096)
        try client.flush()
        try client.write(new, at: 8 << 20)
        #expect(Client.code { try client.zero(32 << 20, at: 0, .noHole) } == ENOSPC)
        try Bytes.check(try client.read(1 << 20, at: 8 << 20), new)
        try Bytes.check(try client.read(1 << 20, at: 4096), old)
        // nbdkit's file plugin makes a hole before it finds out that there is no space.
        if pager == .plugin {
            try Bytes.check(Array(try Files.bytes(disk.image)[4096..<(1 << 20) + 4096]), old, "the image")
        }
        try disk.free()
        try client.flush()
        try Bytes.check(Array(try Files.bytes(disk.image)[8 << 20..<9 << 20]), new, "the image")
    }
}
