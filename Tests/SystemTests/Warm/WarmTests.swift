import Glibc
import TestSupport
import Testing

/// A server with warm=, and the next one.
@Suite struct WarmTests {
    private func figures(_ control: String) throws -> [String: Any] {
        let answer = try ControlConnection(control).ask("figures")
        return (answer["images"] as? [[String: Any]])?.first ?? [:]
    }

    private func held(_ control: String) throws -> Int { try figures(control)["held_bytes"] as? Int ?? 0 }

    private func counter(_ control: String, _ name: String) throws -> Int {
        (try figures(control)["counters"] as? [String: Any])?[name] as? Int ?? -1
    }

    /// After a restart the first reads find their pages in memory, and their bytes are right.
    @Test(arguments: [[], ["-r"], ["-u", "nobody"]]) func aWarmStart(_ options: [String]) throws {
        guard options.first != "-u" || getuid() == 0 else { return }
        let (image, scratch) = (try Image(size: 16 << 20), Scratch())
        chmod(image.path, 0o666)
        let (warm, control) = (scratch.path("warm"), scratch.path("control"))
        let keys = [image.path, "memory=32M", "readahead=off", "warm=\(warm)", "control=\(control)"]
        do {
            let server = try Server(keys, Server.Options(nbdkit: options))
            let client = try Client(server)
            for index in 0..<8 { try image.checkRead(client, 256 << 10, at: index << 21) }
            client.vanish()
            #expect(try server.stop() == 0)
        }
        #expect(try Files.bytes(warm).starts(with: Array("FLEXWARM".utf8)))
        var status = stat()
        #expect(stat(warm, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(access(warm + ".new", F_OK) != 0)
        let server = try Server(keys, Server.Options(nbdkit: options))
        try Patience.wait(seconds: 60, "the image is not warm:\n\(server.log)") {
            (try? held(control)) == 2 << 20 ? () : nil
        }
        let client = try Client(server)
        for index in 0..<8 { try image.checkRead(client, 256 << 10, at: index << 21) }
        #expect(try counter(control, "misses") == 0)
        #expect(try counter(control, "hits") == 512)
        // And so do those of the next one, although no client came for most of it.
        let again = try ControlConnection(control).ask("resident disk")
        #expect((again["runs"] as? [Int])?.count ?? 0 >= 24)
        #expect(again["size_bytes"] as? Int == 16 << 20)
    }

    /// The same with --run, whose command is the client.
    @Test func captive() throws {
        let (image, scratch) = (try Image(size: 4 << 20), Scratch())
        let (warm, control, done) = (scratch.path("warm"), scratch.path("control"), scratch.path("done"))
        let command = [
            "nbdkit", "-U", "-", try Plugin.built(), image.path, "memory=16M", "readahead=off", "warm=\(warm)",
        ]
        let first = try Subprocess.run(command + ["--run", "nbdcopy \"$uri\" null:"])
        #expect(first.status == 0, "\(first.output)")
        let next = try Subprocess(
            command + ["control=\(control)", "--run", "while [ ! -e \(done) ]; do sleep 0.02; done"],
            outputPath: scratch.path("log"))
        defer { try? Files.write([], to: done) }
        try Patience.wait(seconds: 60, "the image is not warm:\n\(next.output)") {
            (try? held(control)) == 4 << 20 ? () : nil
        }
        try Files.write([], to: done)
        #expect(try next.wait() == 0)
    }

    /// An image that is opened for its first client is warmed then, in its turn, and clones have the list of another.
    @Test func exports() throws {
        let (folder, scratch) = (try ImageFolder(["a", "b"], size: 4 << 20), Scratch())
        let (warm, control) = (scratch.path("warm"), scratch.path("control"))
        let keys = ["memory=32M", "readahead=off", "warm=\(warm)", "control=\(control)"]
        do {
            let server = try Server(["export=a:\(folder.path("a"))"] + keys)
            #expect(try Client(server, "a").read(1 << 20, at: 1 << 20).count == 1 << 20)
            #expect(try server.stop() == 0)
        }
        let server = try Server(["dir=\(folder.directory)"] + keys)
        let client = try Client(server, "b")
        try Patience.wait(seconds: 60, "the clone is not warm:\n\(server.log)") {
            (try? held(control)) == 1 << 20 ? () : nil
        }
        #expect(try client.read(4 << 20, at: 0) == folder.bytes("b"))
        #expect(try counter(control, "hits") == 256)
    }

    /// The list of a server that has read the first megabyte of the image.
    private func list(_ image: Image, _ warm: String) throws -> [UInt8] {
        let server = try Server(image, "memory=8M", "warm=\(warm)")
        do { try image.checkRead(try Client(server), 1 << 20, at: 0) }
        #expect(try server.stop() == 0)
        return try Files.bytes(warm)
    }

    /// A list of another image, and a file that is damaged, are ignored with a line. The damaged one is replaced.
    @Test func foreign() throws {
        let (image, other, scratch) = (try Image(size: 4 << 20), try Image(size: 8 << 20), Scratch())
        let warm = scratch.path("warm")
        let list = try list(image, warm)
        do {
            let server = try Server(other, "memory=8M", "warm=\(warm)")
            let line = "warm=\(warm): its list is of an image of 4194304 bytes, and this one has 8388608; it is ignored"
            try Patience.wait(seconds: 60, "no line:\n\(server.log)") { server.log.contains(line) ? () : nil }
            try other.checkRead(try Client(server), 8 << 20, at: 0)
        }
        var damaged = list
        damaged[list.count - 1] ^= 1
        unlink(warm)
        try Files.write(damaged, to: warm)
        let server = try Server(image, "memory=8M", "warm=\(warm)")
        #expect(server.log.contains("warm=\(warm): it is damaged; the cache begins cold"))
        try image.checkRead(try Client(server), 4 << 20, at: 0)
        #expect(try server.stop() == 0)
        #expect(try Files.bytes(warm) != damaged)
    }

    /// A server that is killed leaves the former list, also if it was writing a new one.
    @Test func killed() throws {
        let (image, scratch) = (try Image(size: 4 << 20), Scratch())
        let warm = scratch.path("warm")
        let list = try list(image, warm)
        do {
            let server = try Server(image, "memory=8M", "warm=\(warm)")
            try image.checkRead(try Client(server), 1 << 20, at: 2 << 20)
            // As it is when the new file is half written.
            try Files.write(Array(list.prefix(30)), to: warm + ".new")
            kill(server.pid, SIGKILL)
            #expect(try server.process.wait() == 128 + SIGKILL)
        }
        #expect(try Files.bytes(warm) == list)
        let server = try Server(image, "memory=8M", "warm=\(warm)")
        try image.checkRead(try Client(server), 4 << 20, at: 0)
        #expect(try server.stop() == 0)
        #expect(access(warm + ".new", F_OK) != 0)
    }

    /// The directory must take new files from the user that the server runs as.
    @Test(.enabled(if: getuid() == 0, "another user's rights need root")) func noRights() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        chmod(image.path, 0o666)
        mkdir(scratch.path("ours"), 0o700)
        let warm = scratch.path("ours/warm")
        let refused = try Subprocess.run(
            ["nbdkit", "-f", "-U", scratch.path("socket"), "-u", "nobody", try Plugin.built(), image.path, "memory=8M"]
                + ["warm=\(warm)"])
        #expect(refused.status != 0)
        #expect(refused.output.contains("warm=\(warm): no new file can be made in its directory"))
    }
}
