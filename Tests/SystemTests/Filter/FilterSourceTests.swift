import Glibc
import TestSupport
import Testing

/// Sources that are far away, packed, or written in another language: exact bytes, also from several clients at once.
@Suite struct FilterSourceTests {
    private static let size = (1 << 20) + 1000

    /// Three clients read all of it: in order, backwards, and in pieces of odd lengths.
    private func checkReads(_ image: Image, _ server: Server) throws {
        try Threads.run(3) { number in
            let client = try Client(server)
            #expect(client.size == Self.size)
            let piece = [256 << 10, 100_000, 177_777][number]
            var offsets = Array(stride(from: 0, to: Self.size, by: piece))
            if number == 1 { offsets.reverse() }
            for offset in offsets { try image.checkRead(client, min(piece, Self.size - offset), at: offset) }
        }
    }

    private func options(_ plugin: String, below: String...) -> Server.Options {
        Server.Options(isVerbose: false, pager: .filter, below: below, plugin: plugin)
    }

    /// A web server, quick or slow.
    @Test(.enabled(if: WebServer.isAvailable, WebServer.needs), arguments: [false, true])
    func web(isSlow: Bool) throws {
        let image = try Image(size: Self.size)
        let web = try WebServer(image.path)
        if isSlow { try web.begin(.slow) }
        let server = try Server(["url=\(web.address)", "memory=2M"], options("curl"))
        try checkReads(image, server)
        #expect(try server.stop() == 0)
        #expect(server.log.isEmpty, "\(server.log)")
    }

    /// A web server that fails in each of its ways, for a while. Requests wait, and are answered with the right bytes
    /// in the end; what is in memory is served meanwhile.
    @Test(.enabled(if: WebServer.isAvailable, WebServer.needs), arguments: WebServer.Fault.allCases.dropFirst())
    func aWebServerThatFails(_ fault: WebServer.Fault) throws {
        let image = try Image(size: Self.size)
        let web = try WebServer(image.path)
        let server = try Server(["url=\(web.address)", "memory=8M", "readahead=off"], options("curl"))
        let client = try Client(server)
        try image.checkRead(client, 65_536, at: 0)
        try web.begin(fault)
        try Threads.run(3) { number in
            switch number {
            case 0: try image.checkRead(try Client(server), 300_000, at: 256 << 10)
            case 1: try image.checkRead(try Client(server), 4096, at: 900 << 10)
            default:
                try image.checkRead(client, 65_536, at: 0)
                usleep(300_000)
                web.end(fault)
            }
        }
        try checkReads(image, server)
    }

    /// A web server that stays away: EIO, after as long as was said.
    @Test(.enabled(if: WebServer.isAvailable, WebServer.needs)) func aWebServerThatStaysAway() throws {
        let image = try Image(size: Self.size)
        let web = try WebServer(image.path)
        let server = try Server(["url=\(web.address)", "memory=8M", "flexpage-retry=1"], options("curl"))
        let client = try Client(server)
        try image.checkRead(client, 65_536, at: 0)
        try web.begin(.dropped)
        #expect(Client.code { _ = try client.read(4096, at: 512 << 10) } == EIO)
        try image.checkRead(client, 65_536, at: 0)
        web.end(.dropped)
        try image.checkRead(client, 65_536, at: 512 << 10)
    }

    /// An image that is packed with xz, or inside an archive that is.
    @Test(.enabled(if: Subprocess.exists("xz"), "needs xz"), arguments: [["xz"], ["tar"], ["tar", "xz"]])
    func packed(_ filters: [String]) throws {
        let image = try Image(size: Self.size)
        let directory = image.scratch.directory
        var path = image.path
        if filters.contains("tar") {
            path = image.scratch.path("archive")
            let made = try Subprocess.run("tar", "-C", directory, "-cf", path, "disk.img")
            try #require(made.status == 0, "\(made.output)")
        }
        if filters.contains("xz") {
            let made = try Subprocess.run("sh", "-c", "xz -0 -T1 --block-size=262144 < \(path) > \(directory)/packed")
            try #require(made.status == 0, "\(made.output)")
            path = image.scratch.path("packed")
        }
        var options = options("file")
        options.below = filters.map { "--filter=\($0)" }
        let entry = filters.contains("tar") ? ["tar-entry=disk.img"] : []
        let server = try Server([path, "memory=2M"] + entry, options)
        try checkReads(image, server)
        #expect(try server.stop() == 0)
    }

    /// A source in Python: one call at a time, and no errno values.
    @Test(.enabled(if: hasPython, "needs nbdkit's python plugin")) func python() throws {
        let image = try Image(size: Self.size)
        let script = image.scratch.path("source.py")
        let lines = [
            "import os, threading", "API_VERSION = 2", "import nbdkit", "busy = threading.Lock()",
            "def open(readonly): return os.open(\"\(image.path)\", os.O_RDWR)",
            "def close(h): os.close(h)",
            "def get_size(h): return os.fstat(h).st_size",
            "def pread(h, buf, offset, flags):",
            "    assert busy.acquire(blocking=False)",
            "    if os.path.exists(\"\(image.scratch.path("trouble"))\") and offset >= 1 << 19:",
            "        busy.release()", "        raise RuntimeError(\"no\")",
            "    buf[:] = os.pread(h, len(buf), offset)", "    busy.release()",
            "def pwrite(h, buf, offset, flags): os.pwrite(h, buf, offset)",
            "def flush(h, flags): os.fsync(h)", "",
        ]
        try Files.write(Array(lines.joined(separator: "\n").utf8), to: script)
        let server = try Server([script, "memory=2M"], options("python"))
        try checkReads(image, server)
        let new = [UInt8](repeating: 7, count: 100_000)
        try Client(server).write(new, at: 0)
        #expect(try server.stop() == 0, "\(server.log)")
        try Bytes.check(try Files.bytes(image.path), new + image.bytes[100_000...], "the image")
        // Another one has nothing of it in memory.
        let anew = try Server([script, "memory=2M", "readahead=off", "flexpage-retry=1"], options("python"))
        let client = try Client(anew)
        _ = try client.read(4096, at: 0)
        try Files.write([], to: image.scratch.path("trouble"))
        #expect(Client.code { _ = try client.read(4096, at: 900 << 10) } == EIO)
        unlink(image.scratch.path("trouble"))
        try image.checkRead(client, 65_536, at: 900 << 10)
    }

    private static let hasPython = (try? Subprocess.run("nbdkit", "python", "--dump-plugin").status) == 0

    /// An SSH server of its own, which needs no rights.
    @Test(.enabled(if: SecureShell.isAvailable, SecureShell.needs)) func secureShell() throws {
        let image = try Image(size: Self.size)
        let shell = try SecureShell()
        let server = try Server(shell.parameters + ["path=\(image.path)", "memory=2M"], options("ssh"))
        try checkReads(image, server)
        let new = [UInt8](repeating: 7, count: 100_000)
        do {
            let client = try Client(server)
            try client.write(new, at: 5000)
            try client.flush()
            try Bytes.check(Array(try Files.bytes(image.path)[5000..<105_000]), new, "the image")
        }
        #expect(try server.stop() == 0, "\(server.log)")
    }
}
