import Glibc
import TestSupport
import Testing

/// Images between two clients, and images that are changed, deleted or made anew meanwhile.
@Suite(.serialized) struct ExportLifeTests {
    /// The counter in the last line that the log has of a client that connected or left.
    private func misses(_ server: Server) throws -> Int { try server.lastCounter("misses") }

    /// When the last client has left, the image has no descriptor and no lock. The next client finds its pages in memory
    /// if nobody has changed it, by whatever name it comes.
    @Test(arguments: [[], ["-r"]]) func rest(options: [String]) throws {
        let folder = try ImageFolder(["a.img"], size: 1 << 20)
        let server = try folder.server("memory=16M", options: Server.Options(nbdkit: options))
        try folder.check(server, "a.img")
        try server.waitUntilClosed(folder.directory)
        let before = try misses(server)
        #expect(before >= 256)
        link(folder.path("a.img"), folder.path("hard"))
        // The new name has changed the file's time of change.
        try folder.check(server, "hard", is: "a.img")
        try server.waitUntilClosed(folder.directory)
        let changed = try misses(server)
        #expect(changed >= before + 256)
        for name in ["a.img", "hard", "a.img"] {
            try folder.check(server, name, is: "a.img")
            try server.waitUntilClosed(folder.directory)
        }
        #expect(try misses(server) == changed)
        let other = try folder.server("memory=16M", options: Server.Options(isVerbose: false))
        try Client(other, "a.img").write([1], at: 0)
    }

    /// What a client has written is in memory for the next one, and after others have changed the image it is not.
    @Test(arguments: ["write", "same size and times", "longer", "shorter"]) func changes(_ change: String) throws {
        let folder = try ImageFolder(["a.img"], size: 1 << 20)
        let server = try folder.server("memory=16M")
        var bytes = folder.bytes("a.img")
        do {
            let client = try Client(server, "a.img")
            try client.write([1, 2, 3], at: 100)
            Bytes.put([1, 2, 3], into: &bytes, at: 100)
            try Bytes.check(try client.read(bytes.count, at: 0), bytes)
        }
        try server.waitUntilClosed(folder.directory)
        let before = try misses(server)
        try Bytes.check(try Client(server, "a.img").read(bytes.count, at: 0), bytes)
        try server.waitUntilClosed(folder.directory)
        #expect(try misses(server) == before, "the pages are still in memory")
        try self.change(folder.path("a.img"), change, &bytes)
        let client = try Client(server, "a.img")
        #expect(client.size == bytes.count)
        try Bytes.check(try client.read(bytes.count, at: 0), bytes, change)
        #expect(client.canMultiConnect)
    }

    private func change(_ path: String, _ change: String, _ bytes: inout [UInt8]) throws {
        var status = stat()
        #expect(stat(path, &status) == 0)
        switch change {
        case "longer":
            bytes += [UInt8](repeating: 9, count: 70_000)
            try Files.write([UInt8](repeating: 9, count: 70_000), to: path, at: 1 << 20)
        case "shorter":
            bytes.removeLast(300_001)
            try Files.resize(path, to: bytes.count)
        default:
            Bytes.put([7, 8, 9], into: &bytes, at: 500_000)
            try Files.write([7, 8, 9], to: path, at: 500_000)
        }
        guard change == "same size and times" else { return }
        // Anybody can set the time of modification back; the time of change cannot be set.
        let times = [status.st_atim, status.st_mtim]
        #expect(utimensat(AT_FDCWD, path, times, 0) == 0)
    }

    /// Clients that are connected keep the size, and so does one that comes meanwhile. The next one sees the new size,
    /// and can write there.
    @Test func growth() throws {
        let folder = try ImageFolder(["a.img"], size: 64 << 10)
        let server = try folder.server("memory=4M")
        do {
            let first = try Client(server, "a.img")
            try Files.resize(folder.path("a.img"), to: 128 << 10)
            #expect(first.size == 64 << 10)
            #expect(try Client(server, "a.img").size == 64 << 10)
        }
        try server.waitUntilClosed(folder.directory)
        let next = try Client(server, "a.img")
        #expect(next.size == 128 << 10)
        try next.write([1, 2, 3], at: 100_000)
        try next.flush()
        #expect(Array(try Files.bytes(folder.path("a.img"))[100_000..<100_003]) == [1, 2, 3])
    }

    /// An image is deleted and made anew under its name, again and again: no client ever reads pages of an earlier one,
    /// though the filesystem gives the new file the inode number of the old one.
    @Test func madeAnew() throws {
        let folder = try ImageFolder([], size: 64 << 10)
        let server = try folder.server("memory=8M", options: Server.Options(isVerbose: false))
        var inodes: Set<UInt> = []
        let rounds = Soak.isOn ? 500 : 30
        for round in 0..<rounds {
            try folder.make("a.img", seed: UInt64(round))
            var status = stat()
            #expect(stat(folder.path("a.img"), &status) == 0)
            inodes.insert(status.st_ino)
            do {
                let client = try Client(server, "a.img")
                try Bytes.check(
                    try client.read(folder.size, at: 0), folder.bytes("a.img", seed: UInt64(round)), "round \(round)")
                if round % 2 == 0 { try client.write([1], at: 0) }
            }
            if round % 3 > 0 { try server.waitUntilClosed(folder.directory) }
            unlink(folder.path("a.img"))
        }
        if Machine.isRoot { #expect(inodes.count < rounds, "inode numbers come again on this filesystem") }
    }

    /// An image is removed and made anew while a client has it open and dirty: that client goes on with the old one, and
    /// new clients get the new one. The log says that the name was lost.
    @Test func removedWhileDirty() throws {
        let folder = try ImageFolder(["a.img"])
        let server = try folder.server(
            "memory=4M", "dirty-age=3600", options: Server.Options(isVerbose: false))
        do {
            let old = try Client(server, "a.img")
            var bytes = folder.bytes("a.img")
            try old.write([1, 2, 3], at: 5000)
            Bytes.put([1, 2, 3], into: &bytes, at: 5000)
            unlink(folder.path("a.img"))
            try folder.make("a.img", seed: 77)
            let new = try Client(server, "a.img")
            try Bytes.check(try new.read(folder.size, at: 0), folder.bytes("a.img", seed: 77), "the new image")
            try Bytes.check(try old.read(folder.size, at: 0), bytes, "the old image")
            try old.flush()
            try Patience.wait(seconds: 60, "the log is silent: \(server.log)") {
                try? old.flush()
                return server.log.contains("export \"a.img\": \(folder.path("a.img")): the image has been deleted; ")
                    ? () : nil
            }
            try new.write([4], at: 5000)
        }
        try server.waitUntilClosed(folder.directory)
        #expect(
            Array(try Files.bytes(folder.path("a.img"))[5000..<5002]) == [4, folder.bytes("a.img", seed: 77)[5001]])
        #expect(try server.stop() == 0)
    }

    /// More images than there are descriptors, or numbers for images, are opened and left in turn. Each is written and
    /// read again.
    @Test func manyInTurn() throws {
        let names = (0..<300).map { "image\($0)" }
        let folder = try ImageFolder(names, size: 64 << 10)
        let server = try folder.server(
            "memory=32M", "readahead=off",
            options: Server.Options(
                nbdkit: ["-t", "2"], isVerbose: false, command: ["sh", "-c", "ulimit -n 1024; exec \"$@\"", "sh"]))
        try Threads.run(4) { thread in
            for round in 0..<2 {
                for index in stride(from: thread, to: names.count, by: 4) {
                    let client = try Client(server, names[index])
                    var wanted = folder.bytes(names[index])
                    if round > 0 { Bytes.put(Image.bytes(0..<8192, seed: UInt64(index)), into: &wanted, at: 4000) }
                    try Bytes.check(try client.read(folder.size, at: 0), wanted, names[index])
                    try client.write(Image.bytes(0..<8192, seed: UInt64(index)), at: 4000)
                }
            }
        }
        try server.waitUntilClosed(folder.directory)
        #expect(try server.openFiles().count < 64)
        for (index, name) in names.enumerated() {
            var wanted = folder.bytes(name)
            Bytes.put(Image.bytes(0..<8192, seed: UInt64(index)), into: &wanted, at: 4000)
            try Bytes.check(try Files.bytes(folder.path(name)), wanted, name)
        }
    }

    /// With too few descriptors for another image only the client that wants it is refused, and the log names the
    /// remedy. No image is served read-only, or through the page cache, for lack of a descriptor.
    @Test(.enabled(if: Subprocess.exists("prlimit"), "prlimit is missing")) func tooManyFiles() throws {
        let folder = try ImageFolder(["a.img", "b.img"])
        let server = try folder.server("memory=4M")
        let first = try Client(server, "a.img")
        try first.write([1], at: 0)
        let open = try Files.names("/proc/\(server.pid)/fd").compactMap { Int($0) }.sorted()
        let lowest = (0...).first { !open.contains($0) } ?? 0
        var successes = 0
        // nbdkit needs three for a connection: without those it would not even accept one, and try again for ever.
        for limit in lowest + 3..<lowest + 9 {
            try limitFiles(of: server, to: limit)
            if let client = try? Client(server, "b.img") {
                successes += 1
                #expect(!client.isReadOnly)
                try Bytes.check(try client.read(folder.size, at: 0), folder.bytes("b.img"))
            }
            try limitFiles(of: server, to: 1024)
            #expect(try first.read(1, at: 0) == [1])
            try Patience.wait(seconds: 60, "descriptors are left") {
                (try? Files.names("/proc/\(server.pid)/fd").count) ?? .max <= open.count ? () : nil
            }
        }
        let refusals = server.log.split(separator: "\n").count { $0.contains(Self.remedy) }
        #expect(refusals > 0 && successes > 0, "\(server.log.suffix(3000))")
        #expect(!server.log.contains("direct I/O: no"))
        try folder.check(server, "b.img")
    }

    private static let remedy = ": too many open files; raise ulimit -n"

    private func limitFiles(of server: Server, to count: Int) throws {
        let result = try Subprocess.run("prlimit", "--pid", "\(server.pid)", "--nofile=\(count):1024")
        guard result.status == 0 else { throw Trouble("prlimit: \(result.output)") }
    }
}
