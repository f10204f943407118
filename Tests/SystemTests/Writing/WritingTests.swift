import Glibc
import TestSupport
import Testing

/// Every command that writes, over libnbd against the real nbdkit, compared with a model byte for byte.
@Suite struct WritingTests {
    private static let sizes = [1, 511, 513, 4095, 4097, 65_537, 1_048_575, 3_145_729, 8 << 20]

    struct Way: Sendable {
        let pager: Pager
        let cache: String
        let size: Int
    }

    /// The filter has chains of its own to go through (FilterChainTests), so two sizes are enough for it.
    private static let ways = ["writeback", "writethrough"].flatMap { cache in
        sizes.map { Way(pager: .plugin, cache: cache, size: $0) }
            + (Soak.isOn ? sizes : [4097, 3_145_729]).map { Way(pager: .filter, cache: cache, size: $0) }
    }

    /// Writes, zeroes, trims, flushes, FUA and cache requests of any size at any offset are mixed over two connections.
    /// They leave the right bytes in an image of any size, with the minimum of memory, in both cache modes. The clients
    /// read them, the image file has them after a flush, and again after the server's end. The image never gets longer.
    @Test(arguments: ways) func allCommands(_ way: Way) throws {
        let image = try Image(size: way.size)
        let options = Server.Options(isVerbose: false, pager: way.pager)
        let server = try Server(image, "memory=1M", "cache=\(way.cache)", options: options)
        let wanted = try work(image, server)
        #expect(try server.stop() == 0)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image after the end")
    }

    /// What the image must be after clients have worked and left.
    private func work(_ image: Image, _ server: Server) throws -> [UInt8] {
        var model = WriteModel(image.bytes, [try Client(server), try Client(server)], seed: UInt64(image.bytes.count))
        for _ in 0..<4 {
            try model.run(60)
            try Client(server).flush()
            try Bytes.check(try Files.bytes(image.path), model.bytes, "the image after a flush")
        }
        try model.run(60)
        return model.bytes
    }

    /// A fast zero is answered honestly. Either it is done, and then the image shows it before any flush; or it is
    /// refused, and nothing has changed. On a file system that can zero without writing it is done.
    @Test(arguments: Pager.allCases) func fastZero(_ pager: Pager) throws {
        let image = try Image(size: 4 << 20)
        let server = try Server(image, options: Server.Options(pager: pager))
        let client = try Client(server)
        #expect(client.canFastZero)
        let code = Client.code { try client.zero(1 << 20, at: 1 << 20, [.fast]) }
        #expect(code == nil || code == ENOTSUP)
        let onImage = Array(try Files.bytes(image.path)[1 << 20..<2 << 20])
        let wanted = code == nil ? [UInt8](repeating: 0, count: 1 << 20) : Array(image.bytes[1 << 20..<2 << 20])
        try Bytes.check(onImage, wanted, at: 1 << 20, "the image")
        try Bytes.check(try client.read(1 << 20, at: 1 << 20), wanted, at: 1 << 20)
        #expect(!server.log.contains("error:"), "a refused fast zero is no error for the log")
    }

    /// With write-through an answered write is on the image, without a flush, and its cached copy is right. With
    /// write-back it is not there yet, so that the other tests test something.
    @Test(arguments: ["writeback", "writethrough"], Pager.allCases)
    func whenAWriteIsOnTheImage(_ cache: String, _ pager: Pager) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "cache=\(cache)", "dirty-age=3600", options: Server.Options(pager: pager))
        let client = try Client(server)
        let new = [UInt8](repeating: 0x77, count: 100_001)
        try client.write(new, at: 33_333)
        var wanted = image.bytes
        Bytes.put(new, into: &wanted, at: 33_333)
        try Bytes.check(try client.read(1 << 20, at: 0), wanted)
        try Bytes.check(try Files.bytes(image.path), cache == "writeback" ? image.bytes : wanted, "the image")
    }

    /// Dirty pages go out by themselves when they are as old as dirty-age says, without a flush and with the client
    /// still there.
    @Test(arguments: Pager.allCases) func dirtyAge(_ pager: Pager) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "dirty-age=1", options: Server.Options(pager: pager))
        let client = try Client(server)
        let new = [UInt8](repeating: 0x77, count: 1 << 20)
        try client.write(new, at: 0)
        try Patience.wait(seconds: 60, "it has not gone out") { (try? Files.bytes(image.path)) == new ? () : nil }
    }

    /// The export offers writing with all that belongs to it.
    @Test(arguments: Pager.allCases) func whatIsOffered(_ pager: Pager) throws {
        let image = try Image(size: 1 << 20)
        let client = try Client(try Server(image, options: Server.Options(pager: pager)))
        #expect(!client.isReadOnly)
        #expect(client.canFlush && client.canForceUnitAccess && client.canMultiConnect)
        #expect(client.canTrim && client.canZero && client.canFastZero)
    }

    /// Nothing outside the image can be written. Such a request fails with an error of its own, and the image keeps its
    /// length.
    @Test(arguments: Pager.allCases) func outOfRange(_ pager: Pager) throws {
        let image = try Image(size: 100_000)
        let server = try Server(image, options: Server.Options(pager: pager))
        try expectRefusals(try Client(server, isStrict: false))
        try image.checkRead(try Client(server), 100_000, at: 0)
        #expect(try server.stop() == 0)
        try image.check(try Files.bytes(image.path), at: 0)
        #expect(try Files.bytes(image.path).count == 100_000)
    }

    private func expectRefusals(_ client: Client) throws {
        for (count, offset) in [(1, 100_000), (2, 99_999), (4096, 99_000), (1, 1 << 40), (1, Int.max - 1)] {
            let expected = [EINVAL, ENOSPC]
            #expect(
                expected.contains(Client.code { try client.write(.init(repeating: 1, count: count), at: offset) } ?? 0))
            #expect(expected.contains(Client.code { try client.trim(count, at: offset) } ?? 0))
            #expect(expected.contains(Client.code { try client.zero(count, at: offset) } ?? 0))
        }
    }
}
