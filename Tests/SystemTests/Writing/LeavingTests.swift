import Glibc
import TestSupport
import Testing

/// What becomes of a client's writes if it leaves and the disk does not accept them.
@Suite(.serialized) struct LeavingTests {
    private static let left = "a client left before all written data was on the image and synced: "
    private static let completed = "is now on the image and synced"

    private func count(_ text: String, in log: String) -> Int {
        log.split(separator: "\n").count { $0.contains(text) }
    }

    private func waitFor(_ text: String, in server: Server, times: Int = 1) throws {
        try Patience.wait(seconds: 60, "the log is silent: \(server.log.suffix(2000))") {
            count(text, in: server.log) >= times ? () : nil
        }
    }

    /// What a client wrote before it left a full disk is kept: the next client finds it. The image stays locked against
    /// other servers. As soon as there is space the data goes out with no client there, though dirty-age is long. Then
    /// the log says so, and another server may write the image.
    @Test(
        .enabled(if: !FullDisk.kinds.isEmpty, "needs root, and tmpfs or a loop device with ext4"),
        arguments: FullDisk.kinds)
    func aFullDisk(_ kind: String) throws {
        let disk = try FullDisk(kind, imageSize: 32 << 20, left: 1 << 20)
        let parameters = [disk.image, "memory=64M", "dirty-age=3600", "dirty=90%"]
        let (server, another) = (try Server(parameters), try Server(parameters))
        let new = Image.bytes(0..<8 << 20, seed: 5)
        do { try Client(server).write(new, at: 4 << 20) }
        let fate = "the data stays in memory and is retried, and the image stays locked"
        try waitFor("\(Self.left)No space left on device; \(fate)", in: server)
        #expect(throws: Client.Failure.self) { _ = try Client(another) }
        do {
            let next = try Client(server)
            try Bytes.check(try next.read(8 << 20, at: 4 << 20), new)
            #expect(Client.code { try next.flush() } == ENOSPC)
        }
        try waitFor(Self.left, in: server, times: 2)
        #expect(count(Self.completed, in: server.log) == 0)
        #expect(throws: Client.Failure.self) { _ = try Client(another) }
        try disk.free()
        try waitFor("2 clients that have left \(Self.completed)", in: server)
        try Bytes.check(Array(try Files.bytes(disk.image)[4 << 20..<12 << 20]), new, "the image")
        try Bytes.check(try Client(another).read(8 << 20, at: 4 << 20), new)
        #expect(try another.stop() == 0)
        #expect(try server.stop() == 0)
        #expect(count("and are lost", in: server.log) == 0)
    }

    /// The same for a disk whose syncs fail: what it has forgotten is written again, and synced, with no client there.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
    func aFailingSync() throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20))
        let parameters = [disk.path, "memory=8M", "dirty-age=3600"]
        let (server, another) = (try Server(parameters), try Server(parameters))
        let new = Image.bytes(0..<256 << 10, seed: 5)
        do {
            let client = try Client(server)
            try disk.begin(.syncsFail)
            try client.write(new, at: 65_536)
        }
        try waitFor("\(Self.left)Input/output error", in: server)
        #expect(throws: Client.Failure.self) { _ = try Client(another) }
        disk.end(.syncsFail)
        try waitFor("a client that has left \(Self.completed)", in: server)
        try Bytes.check(Array(try disk.durable[65_536..<65_536 + new.count]), new, "the disk")
        _ = try Client(another)
        #expect(try another.stop() == 0)
        #expect(try server.stop() == 0)
    }

    /// An image of which a failed sync has lost something is not locked for ever: once the rest is out, another server
    /// may write it.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
    func whatIsLost() throws {
        let disk = try TroubledDisk(Image.bytes(0..<4 << 20))
        let parameters = [disk.path, "memory=1M", "dirty-age=3600"]
        let (server, another) = (try Server(parameters), try Server(parameters))
        do {
            let client = try Client(server)
            try disk.begin(.syncsFail)
            for offset in stride(from: 0, to: 3 << 20, by: 256 << 10) {
                try client.write(Image.bytes(0..<256 << 10, seed: 5), at: offset)
            }
        }
        try waitFor("\(Self.left)Input/output error", in: server)
        #expect(throws: Client.Failure.self) { _ = try Client(another) }
        disk.end(.syncsFail)
        try waitFor("a client that has left is now on the image; data lost in a failed sync is not", in: server)
        do { try Client(another).flush() }
        #expect(try another.stop() == 0)
        #expect(try server.stop() == 0)
    }
}
