import Glibc
import TestSupport
import Testing

/// Locks between servers of one image.
@Suite struct LockingTests {
    private func refuses(_ server: Server, saying text: String, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(throws: Client.Failure.self, sourceLocation: sourceLocation) { _ = try Client(server) }
        #expect(server.log.contains(text), "\(server.log.suffix(1000))", sourceLocation: sourceLocation)
    }

    /// The first client that may write locks the image. Another server's client is refused with a message that says why
    /// and what to do. It is let in when the first has left, and nothing of the first one's data is missing.
    @Test func aSecondWriter() throws {
        let image = try Image(size: 1 << 20)
        let (first, second) = (try Server(image, "dirty-age=3600"), try Server(image, "dirty-age=3600"))
        let new = [UInt8](repeating: 9, count: 1 << 20)
        do {
            let client = try Client(first)
            try client.write(new, at: 0)
            refuses(
                second,
                saying:
                    "client process \(getpid()) of user \(getuid()) is refused: file=\(image.path): another process "
                    + "has it locked for writing")
            #expect(second.log.contains("open the image for reading only"))
            _ = try Client(first)
        }
        let client = try Patience.wait(seconds: 60, "the lock is not given back") { try? Client(second) }
        try Bytes.check(try client.read(1 << 20, at: 0), new)
        refuses(first, saying: "another process has it locked")
    }

    /// Read-only servers do not hinder each other or a writer, and a writer does not hinder them.
    @Test func readersAreFree() throws {
        let image = try Image(size: 1 << 20)
        let readOnly = Server.Options(nbdkit: ["-r"])
        let readers = [try Server(image, options: readOnly), try Server(image, options: readOnly)]
        let writer = try Server(image)
        let clients = try readers.map { try Client($0) }
        let writing = try Client(writer)
        for client in clients {
            #expect(client.isReadOnly)
            try image.checkRead(client, 1 << 20, at: 0)
        }
        #expect(!writing.isReadOnly)
        try writing.write([1, 2, 3], at: 0, .forced)
        #expect(try Client(readers[0]).isReadOnly)
    }

    /// lock=off takes no lock: two servers write one image, each its own parts.
    @Test func withoutLocks() throws {
        let image = try Image(size: 1 << 20)
        let servers = [try Server(image, "lock=off"), try Server(image, "lock=off")]
        let clients = try servers.map { try Client($0) }
        let half = [UInt8](repeating: 5, count: 512 << 10)
        for (number, client) in clients.enumerated() {
            try client.write(half, at: number * half.count)
            try client.flush()
        }
        try Bytes.check(try Files.bytes(image.path), half + half, "the image")
    }

    /// The lock goes with a server that is killed.
    @Test func theLockGoesWithTheProcess() throws {
        let image = try Image(size: 1 << 20)
        let (first, second) = (try Server(image), try Server(image))
        let client = try Client(first)
        kill(first.pid, SIGKILL)
        _ = try first.process.wait()
        #expect(try !Client(second).isReadOnly)
        withExtendedLifetime(client) {}
    }

    /// A block device that another process holds, or that is mounted, is refused to writers and served to readers. It
    /// is served to writers when it is free.
    @Test(.enabled(if: Machine.canLoop && Subprocess.exists("mkfs.ext4"), "needs root and a loop device"))
    func heldDevices() throws {
        let scratch = Scratch()
        let file = scratch.path("file")
        try Files.resize(file, to: 16 << 20)
        #expect(try Subprocess.run("mkfs.ext4", "-q", "-F", file).status == 0)
        let device = try LoopDevice(file)
        let (server, reader) = (try Server([device.path]), try Server([device.path], Server.Options(nbdkit: ["-r"])))
        let complaint = "file=\(device.path): the block device is mounted or held by another"
        _ = try Client(reader)
        do {
            // The server gives its claim back when the client has left, which it notices in its own time.
            let mounted = try Patience.wait(seconds: 60, "the device stays claimed") {
                try? Mount("ext4", options: "", device: device.path)
            }
            refuses(server, saying: complaint)
            #expect(try Client(reader).isReadOnly)
            try mounted.end()
        }
        let holder = try Patience.wait(seconds: 60, "the device stays claimed") {
            let holder = open(device.path, O_RDONLY | O_EXCL | O_CLOEXEC)
            return holder >= 0 ? holder : nil
        }
        refuses(server, saying: complaint)
        close(holder)
        // A program that another test starts may hold the descriptor for a moment.
        let client = try Patience.wait(seconds: 60, "the device stays held") { try? Client(server) }
        try client.write([UInt8](repeating: 3, count: 8192), at: 4096, .forced)
        #expect(open(device.path, O_RDONLY | O_EXCL | O_CLOEXEC) == -1, "a device that is written is claimed")
        try Bytes.check(try client.read(8192, at: 4096), [UInt8](repeating: 3, count: 8192))
    }

    /// The refusal names a client that comes over the network by its address.
    @Test func aSecondWriterFromFarAway() throws {
        let image = try Image(size: 1 << 20)
        let first = try Server(image)
        let client = try Client(first)
        let result = try Subprocess.run(
            "nbdkit", "-i", "127.0.0.1", "-p", "\(20_000 + Int(getpid()) % 20_000)", try Plugin.built(), image.path,
            "--run",
            "nbdinfo \"$uri\"")
        #expect(result.status != 0)
        #expect(result.output.contains("error: client 127.0.0.1 port "), "\(result.output)")
        #expect(result.output.contains(" is refused: file=\(image.path): another process has it locked"))
        withExtendedLifetime(client) {}
    }

    /// An image that cannot be written is served read-only, and a warning says why, once, without -v.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "needs root and a tmpfs"))
    func readOnlyImages() throws {
        let mounted = try Mount("tmpfs")
        let image = try Image(in: mounted.scratch, size: 1 << 20)
        try mounted.protect()
        let server = try Server([image.path], Server.Options(isVerbose: false))
        let client = try Client(server, isStrict: false)
        #expect(client.isReadOnly && !client.canFlush && !client.canTrim && !client.canZero)
        try image.checkRead(client, 1 << 20, at: 0)
        #expect(Client.code { try client.write([1], at: 0) } == EPERM)
        let warning = "nbdkit: flexpage: warning: file=\(image.path): it cannot be written (Read-only file system)"
        #expect(server.log.split(separator: "\n").filter { $0.hasPrefix(warning) }.count == 1, "\(server.log)")
        #expect(server.log.contains("serving it read-only"))
    }

    /// A read-only device is served read-only.
    @Test(.enabled(if: Machine.canLoop, "needs root and a loop device"))
    func readOnlyDevices() throws {
        let image = try Image(size: 1 << 20)
        let device = try LoopDevice(image.path, readOnly: true)
        let server = try Server([device.path])
        let client = try Client(server)
        #expect(client.isReadOnly)
        try image.checkRead(client, 1 << 20, at: 0)
    }
}
