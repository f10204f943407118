import Glibc
import TestSupport
import Testing

/// Other programs change an image around the time at which its server ends or is killed.
@Suite(.serialized, .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
struct ForeignChangeTests {
    private static let foreign = [UInt8](repeating: 7, count: 4096)

    /// A server whose client has written, flushed, and read all of the image.
    private func serve(_ image: Image, _ state: StateFolder) throws -> (Server, Client) {
        let server = try Server(image, state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(server)
        try client.write([UInt8](repeating: 9, count: 4096), at: 65536)
        try client.flush()
        _ = try client.read(1 << 20, at: 0)
        return (server, client)
    }

    /// The next server serves what the other program has written, and what clients had flushed.
    private func expectForeign(_ image: Image, _ state: StateFolder) throws {
        let server = try Server(image, state.option, "memory=8M")
        #expect(server.log.contains("what is cached of an image is dropped"), "\(server.log.prefix(2000))")
        let client = try Client(server)
        #expect(try client.read(4096, at: 8192) == Self.foreign)
        #expect(try client.read(1, at: 65536) == [9])
    }

    /// A change right after the death of a server whose image had been idle for some seconds.
    @Test func afterTheDeath() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let (server, client) = try serve(image, state)
        try Patience.wait(seconds: 60, "the idle image is not stamped") { (try? state.isStamped) == true ? () : nil }
        try Restart.kill(server, beside: client)
        try Files.write(Self.foreign, to: image.path, at: 8192)
        try expectForeign(image, state)
    }

    /// A change right after the end of a server whose client stayed until then.
    @Test func afterTheEnd() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let (server, client) = try serve(image, state)
        try client.write([UInt8](repeating: 9, count: 4096), at: 65536)
        kill(server.pid, SIGTERM)
        _ = try Patience.wait(seconds: 60, "requests go on") { Client.code { _ = try client.read(1, at: 0) } }
        client.vanish()
        #expect(try server.process.wait() == 0)
        try Files.write(Self.foreign, to: image.path, at: 8192)
        try expectForeign(image, state)
    }

    /// An image that has grown while it was served gets what it is owed, in front of its old end and not behind it.
    /// Clients see its new size.
    @Test func grown() throws {
        let image = try Image(size: 1_000_000)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(first)
        _ = try client.read(4096, at: 0)
        let bytes = [UInt8](repeating: 9, count: 1000)
        try client.write(bytes, at: 999_000)
        try Files.write(Self.foreign, to: image.path, at: 1_000_000)
        try Restart.kill(first, beside: client)
        let second = try Server(image, state.option, "memory=8M")
        #expect(second.log.contains("it has grown from 1000000 to 1004096 bytes while the last server served it"))
        let next = try Client(second)
        #expect(next.size == 1_004_096)
        #expect(try next.read(5096, at: 999_000) == bytes + Self.foreign)
        try next.flush()
        #expect(Array(try Files.bytes(image.path)[999_000...]) == bytes + Self.foreign)
    }

    /// One that has lost what it is owed is refused.
    @Test func shorter() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(first)
        try client.write([UInt8](repeating: 9, count: 4096), at: (1 << 20) - 4096)
        try Restart.kill(first, beside: client)
        truncate(image.path, (1 << 20) - 1)
        let refused = try Restart.refusal([image.path], state)
        #expect(refused.contains("it had 1048576 bytes and has 1048575 now, and data is owed beyond its end"))
    }
}
