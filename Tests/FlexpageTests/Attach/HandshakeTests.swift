import Glibc
import TestSupport
import Testing

@testable import flexpage

/// The handshake with a real server, and that the socket is the kernel's to use afterwards: nothing is left in it, and
/// nothing of libnbd's is needed.
@Suite struct HandshakeTests {
    private static let here = Subprocess.exists("nbdkit")

    @Test(.enabled(if: here, "needs nbdkit")) func theSocketIsBetweenTwoMessages() throws {
        let server = try Nbdkit(["pattern", "1M"])
        let (export, connections) = try server.connect(count: 3)
        #expect(export.size == 1 << 20)
        #expect(export.isReadOnly)
        #expect(connections.count == 3)
        for connection in connections {
            // A flag that O_NONBLOCK leaves would not disturb the kernel, but it would this test.
            #expect(fcntl(connection.descriptor, F_GETFD) & FD_CLOEXEC != 0)
            let client = RawClient(connection)
            for offset in [0, 4096, 512 * 1024] as [UInt64] {
                #expect(try client.read(offset: offset, count: 4096) == RawClient.pattern(offset: offset, count: 4096))
            }
        }
    }

    @Test(.enabled(if: here, "needs nbdkit")) func aWritableExport() throws {
        let (export, connections) = try Nbdkit(["memory", "1M"]).connect(count: 1)
        #expect(!export.isReadOnly)
        #expect(
            export.flags.isSuperset(of: [.hasFlags, .flush, .forceUnitAccess, .trim, .writeZeroes, .manyConnections]))
        #expect(connections.count == 1)
        try export.check(connections: 2)
    }

    @Test(.enabled(if: here, "needs nbdkit")) func blockSizes() throws {
        let (export, _) = try Nbdkit([
            "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4k", "blocksize-preferred=64k",
            "blocksize-maximum=1M",
        ]).connect(count: 1)
        #expect(export.minBlock == 4096)
        #expect(export.maxRequest == 1 << 20)
        #expect(export.blockSize == 4096)
    }

    /// Without the server's permission there is only one, and the caller says why.
    @Test(.enabled(if: here, "needs nbdkit")) func onlyOneConnection() throws {
        let (export, connections) = try Nbdkit([
            "--filter=multi-conn", "memory", "1M", "multi-conn-mode=disable",
        ]).connect(count: 3)
        #expect(connections.count == 1)
        #expect(throws: AttachError.self) { try export.check(connections: 3) }
    }

    @Test(.enabled(if: here, "needs nbdkit")) func noSuchExport() throws {
        let server = try Nbdkit(["--filter=exportname", "memory", "1M", "exportname-strict=true", "exportname=a"])
        #expect(try server.connect(count: 1, export: "a").export.size == 1 << 20)
        #expect(server.complaint(export: "b").hasPrefix("handshake: server has no export named 'b'"))
    }

    @Test(.enabled(if: here, "needs nbdkit")) func aServerThatWantsTLS() throws {
        let scratch = Scratch()
        try Files.write(Array("user:0123456789abcdef0123456789abcdef\n".utf8), to: scratch.path("psk"))
        let server = try Nbdkit(["--tls=require", "--tls-psk=\(scratch.path("psk"))", "memory", "1M"])
        #expect(server.complaint() == "the server requires TLS, which the kernel's client does not speak")
    }

    @Test func noServer() {
        let uri = "nbd+unix:///?socket=/no/such/socket"
        #expect(throws: AttachError("\(uri): connect: No such file or directory")) {
            try LibNBDServer(uri: uri, stop: -1).connect(count: 1, milliseconds: 5000)
        }
    }

    @Test func aBadURI() {
        let uri = "nbd+unix:///"
        #expect {
            try LibNBDServer(uri: uri, stop: -1).connect(count: 1, milliseconds: 5000)
        } throws: {
            "\($0)".contains("cannot parse socket parameter")
        }
    }

    /// It accepts, and says nothing.
    @Test func aServerThatHangs() throws {
        let scratch = Scratch()
        let listener = try SilentListener(scratch.path("socket"))
        let begin = SystemEvents.clock
        #expect(throws: AttachError("\(listener.uri): the server does not answer")) {
            try LibNBDServer(uri: listener.uri, stop: -1).connect(count: 1, milliseconds: 300)
        }
        #expect(SystemEvents.clock - begin >= 300)
    }

    /// A signal ends the wait for it.
    @Test func aSignalMeanwhile() throws {
        let scratch = Scratch()
        let listener = try SilentListener(scratch.path("socket"))
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        try #require(write(ends[1], "x", 1) == 1)
        #expect(throws: Stopped.self) {
            try LibNBDServer(uri: listener.uri, stop: ends[0]).connect(count: 1, milliseconds: 60_000)
        }
    }
}
