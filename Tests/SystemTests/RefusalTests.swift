import Glibc
import TestSupport
import Testing

/// What a client may not do, and what the image cannot do: only the request fails, with its errno.
@Suite struct RefusalTests {
    /// Requests outside the image get EINVAL, and the connection serves on.
    @Test func outOfRange() throws {
        let image = try Image(size: 100_000)
        let server = try Server(image)
        let client = try Client(server, isStrict: false)
        for (count, offset) in [(1, 100_000), (2, 99_999), (4096, 99_000), (1, 1 << 40), (1, Int.max - 1)] {
            #expect(code { _ = try client.read(count, at: offset) } == EINVAL)
            #expect(code { try client.cache(count, at: offset) } == EINVAL)
        }
        try image.checkRead(client, 1000, at: 99_000)
    }

    /// Nothing can be written with nbdkit -r: every command that would write is refused as NBD prescribes, and the
    /// image is untouched.
    @Test func writesAreRefused() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: Server.Options(nbdkit: ["-r"]))
        let client = try Client(server, isStrict: false)
        let refusals: [Int32?] = [EPERM, EROFS, EINVAL]
        #expect(refusals.contains(code { try client.write([1, 2, 3], at: 4096) }))
        #expect(refusals.contains(code { try client.trim(4096, at: 4096) }))
        #expect(refusals.contains(code { try client.zero(4096, at: 4096) }))
        try image.checkRead(client, 1 << 20, at: 0)
        try image.check(try Files.bytes(image.path), at: 0)
    }

    /// An error of the image reaches the request that met it, on whichever connection, and no other. While the image is
    /// cut short, every page that is gone gets EIO, and every page that is there is read. Once the cause is gone, the
    /// same pages are read well again.
    @Test func readErrors() throws {
        let image = try Image(size: 2 << 20)
        let server = try Server(image, "memory=4M")
        try checkReadErrors(image, [try Client(server), try Client(server)])
        #expect(try server.stop() == 0)
        #expect(server.log.contains("failed: Input/output error"))
        #expect(try server.counter("failed_fills") > 0)
    }

    private func checkReadErrors(_ image: Image, _ clients: [Client]) throws {
        let end = (1 << 20) + 3 * 4096
        try Files.resize(image.path, to: end)
        for offset in stride(from: 0, to: image.bytes.count, by: 4096).reversed() {
            let client = clients[offset / 4096 % 2]
            if offset < end {
                try image.checkRead(client, 4096, at: offset)
            } else {
                #expect(code { _ = try client.read(4096, at: offset) } == EIO)
            }
        }
        // A request that needs both what is there and what is gone.
        #expect(code { _ = try clients[0].read(8192, at: end - 4096) } == EIO)
        try Files.write(Array(image.bytes[end...]), to: image.path, at: end)
        try image.checkRead(clients[0], 1 << 20, at: 1 << 20)
        try image.checkRead(clients[1], 2 << 20, at: 0)
    }

    /// A page that is resident is served even when the image has lost it. Of pages asked for together only those that
    /// are lost fail: a first read covers both, then every page is read alone.
    @Test func aFailedWideReadLeavesTheGoodPagesReadable() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "memory=4M")
        let client = try Client(server)
        try image.checkRead(client, 4096, at: 900_000)
        let end = 512 << 10
        try Files.resize(image.path, to: end)
        #expect(code { _ = try client.read(1 << 20, at: 0) } == EIO)
        for offset in stride(from: 0, to: end, by: 4096) { try image.checkRead(client, 4096, at: offset) }
        try image.checkRead(client, 100, at: 900_000)
        #expect(code { _ = try client.read(4096, at: end) } == EIO)
    }

    /// Errors of media that NBD cannot express become EIO: as "invalid argument" they would be the client's fault.
    @Test(.enabled(if: Machine.canTrace, "strace cannot trace here"), arguments: ["ENODATA", "ETIMEDOUT", "EREMOTEIO"])
    func errorsThatNBDLacks(_ error: String) throws {
        let image = try Image(size: 1 << 20)
        let script = "/usr/bin/python3 -c 'import nbd; h = nbd.NBD(); h.connect_uri(\"'$uri'\"); h.pread(4096, 65536)'"
        // The reads that probe an image when it is opened fail too: an error of the media proves nothing against it.
        let result = try Subprocess.run(
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=preadv2",
            "-e", "inject=preadv2:error=\(error):when=1+",
            "nbdkit", "-U", "-", try Plugin.built(), image.path, "readahead=off", "--run", script)
        #expect(result.status != 0)
        #expect(result.output.contains("(EIO)"), "\(result.output)")
        #expect(result.output.contains("a read of 4096 bytes at 65536 failed: "), "\(result.output)")
    }

    /// The errno that `request` failed with, or nil.
    private func code(_ request: () throws -> Void) -> Int32? {
        do {
            try request()
            return nil
        } catch {
            return (error as? Client.Failure)?.code
        }
    }
}
