import Glibc
import TestSupport
import Testing

/// Which exports there are, and what clients get by their names.
@Suite struct ExportListTests {
    /// With dir= the files of the directory are listed in order, and what is no image is not. A file that comes later
    /// is served without a restart, and one that goes is not listed any more.
    @Test func directory() throws {
        let folder = try ImageFolder(["b.img", "a.img", "z z"])
        mkfifo(folder.path("fifo"), 0o644)
        mkdir(folder.path("directory"), 0o755)
        symlink("a.img", folder.path("link"))
        symlink("../outside", folder.path("leads-out"))
        symlink("nowhere", folder.path("dangling"))
        let server = try folder.server("memory=4M")
        #expect(try server.exports() == ["a.img", "b.img", "link", "z z"])
        for name in ["a.img", "b.img", "z z"] { try folder.check(server, name) }
        try Bytes.check(try Client(server, "link").read(folder.size, at: 0), folder.bytes("a.img"))
        try folder.make("new.img")
        unlink(folder.path("b.img"))
        #expect(try server.exports() == ["a.img", "link", "new.img", "z z"])
        try folder.check(server, "new.img")
        #expect(throws: Client.Failure.self) { try Client(server, "b.img") }
        // Listing leaves no descriptors behind.
        let before = try server.openFiles().count
        for _ in 0..<5 { _ = try server.exports() }
        try Patience.wait(seconds: 60, "descriptors are left: \((try? server.openFiles()) ?? [])") {
            (try? server.openFiles().count) ?? .max <= before ? () : nil
        }
    }

    /// A client that names no export gets the default, and is refused if there is none.
    @Test func defaultExport() throws {
        let folder = try ImageFolder(["a.img", "b.img"])
        let server = try folder.server("memory=4M", "default=b.img")
        try Bytes.check(try Client(server).read(folder.size, at: 0), folder.bytes("b.img"))
        let other = try folder.server("memory=4M", options: Server.Options(isVerbose: false))
        #expect(throws: Client.Failure.self) { try Client(other) }
        let own = "client process \(getpid()) of user \(getuid()) is refused: "
        #expect(other.log.contains("\(own)export \"\": the client names no export, and there is no default="))
    }

    /// With export= there are the named exports and no others, each with its options.
    @Test func list() throws {
        let folder = try ImageFolder(["a.img", "b,c.img"])
        let server = try Server([
            "export=two:\(folder.directory)/b,,c.img,cache=writethrough,reserve=10%", "memory=4M", "default=two",
            "export=one:\(folder.path("a.img")),ro", "dirty-age=3600",
        ])
        #expect(try server.exports() == ["one", "two"])
        let (one, two) = (try Client(server, "one"), try Client(server, "two"))
        #expect(one.isReadOnly && !two.isReadOnly)
        try Bytes.check(try one.read(folder.size, at: 0), folder.bytes("a.img"))
        try Bytes.check(try Client(server).read(folder.size, at: 0), folder.bytes("b,c.img"))
        // Written through: it is on the image without a flush.
        try two.write([1, 2, 3], at: 5000)
        #expect(Array(try Files.bytes(folder.path("b,c.img"))[5000..<5003]) == [1, 2, 3])
        for name in ["a.img", "three", "../images/a.img", folder.path("a.img")] {
            #expect(throws: Client.Failure.self) { try Client(server, name) }
            #expect(server.log.contains("is refused: export \"\(name)\": there is no such export"))
        }
    }

    /// Relative paths, of a directory or of exports, begin where a daemon was started.
    @Test(arguments: ["dir=images", "export=a.img:images/a.img"]) func relativePaths(_ source: String) throws {
        let folder = try ImageFolder(["a.img"])
        let path = folder.scratch.path
        let start = try Subprocess.run(
            "sh", "-c",
            "cd \(folder.scratch.directory) && exec nbdkit -P pid -U \(path("socket")) \(try Plugin.built()) \(source)")
        #expect(start.status == 0, "\(start.output)")
        let pid = try Patience.wait(seconds: 60, "there is no pid") {
            (try? Files.text(path("pid")))?.split(separator: "\n").first.flatMap { pid_t($0) }
        }
        defer { kill(pid, SIGKILL) }
        #expect(Files.target("/proc/\(pid)/cwd") == "/")
        let client = try Client(socket: path("socket"), export: "a.img")
        try Bytes.check(try client.read(folder.size, at: 0), folder.bytes("a.img"))
    }

    /// The least memory serves a directory: two clients of two images write and read them, and nothing is lost.
    @Test func leastMemory() throws {
        let folder = try ImageFolder(["a.img", "b.img"], size: 3 << 20)
        let server = try folder.server("memory=1M", options: Server.Options(isVerbose: false))
        let names = ["a.img", "b.img"]
        let clients = try names.map { try Client(server, $0) }
        try Threads.run(2) { number in
            for offset in stride(from: 0, to: folder.size, by: 256 << 10) {
                let new = Image.bytes(0..<128 << 10, seed: UInt64(offset + number))
                try clients[number].write(new, at: offset)
                try Bytes.check(try clients[number].read(new.count, at: offset), new, "\(offset)")
            }
            try clients[number].flush()
        }
        for (number, name) in names.enumerated() {
            var wanted = folder.bytes(name)
            for offset in stride(from: 0, to: folder.size, by: 256 << 10) {
                Bytes.put(Image.bytes(0..<128 << 10, seed: UInt64(offset + number)), into: &wanted, at: offset)
            }
            try Bytes.check(try Files.bytes(folder.path(name)), wanted, name)
        }
    }

    /// --run with a directory: the command finds the default export, and nbdkit ends as the command does.
    @Test(.enabled(if: Subprocess.exists("nbdcopy"), "nbdcopy is missing")) func run() throws {
        let folder = try ImageFolder(["a.img", "b.img"])
        let copy = folder.scratch.path("copy")
        let result = try Subprocess.run([
            "nbdkit", "-U", "-", try Plugin.built(), "dir=\(folder.directory)", "default=b.img", "memory=1M", "--run",
            "nbdcopy \"$uri\" \(copy)",
        ])
        #expect(result.status == 0 && Nbdkit.withoutWarning(result.output).isEmpty, "\(result.output)")
        try Bytes.check(try Files.bytes(copy), folder.bytes("b.img"), "the copy")
    }

    /// What a person must know of the images in a directory is on standard error at the start, a line for each kind.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "needs root and tmpfs")) func warnings() throws {
        let mount = try Mount("tmpfs")
        let directory = mount.scratch.directory
        for name in ["a.img", "b.img", "c.img"] { try Files.write([1, 2, 3], to: "\(directory)/\(name)") }
        let parameters = ["dir=\(directory)", "memory=4M"]
        let quiet = try Server(parameters, Server.Options(isVerbose: false))
        #expect(!quiet.log.contains("read-only"), "\(quiet.log)")
        // The mount's directory is above the one for the test's files.
        let mounted = directory.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
        let remount = try Subprocess.run("mount", "-o", "remount,ro", mounted)
        try #require(remount.status == 0, "\(remount.output)")
        let server = try Server(parameters, Server.Options(isVerbose: false))
        let said = server.log.split(separator: "\n").filter { $0.contains("cannot be written") }
        #expect(said.count == 1, "\(server.log)")
        let line = try #require(said.first)
        #expect(line.hasPrefix("nbdkit: flexpage: warning: dir=\(directory)/a.img: it cannot be written (Read-only"))
        #expect(line.hasSuffix("; serving it and 2 more, for their own reasons, read-only"))
    }

    /// One image is served under every name, as before, and the list has the empty name.
    @Test func oneImage() throws {
        let image = try Image(size: 64 << 10)
        let server = try Server(image)
        #expect(try server.exports() == [""])
        for name in ["", "a", "../..", "x\ny"] { try image.checkRead(try Client(server, name), 64 << 10, at: 0) }
    }

    /// Images are opened as the user that nbdkit has become. What that user may not read is refused and not listed, and
    /// what it may not write is served read-only.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user")) func anotherUser() throws {
        let folder = try ImageFolder(["mine", "readable", "secret"])
        chmod(folder.path("readable"), 0o644)
        chmod(folder.path("secret"), 0o600)
        #expect(chown(folder.path("mine"), 65534, 65534) == 0)
        // The socket is made before, and its directory belongs to root.
        let server = try folder.server(
            "memory=4M", options: Server.Options(nbdkit: ["-u", "nobody"], isVerbose: false))
        #expect(try Client(server, "readable").isReadOnly)
        try Client(server, "mine").write([1], at: 0)
        #expect(throws: Client.Failure.self) { try Client(server, "secret") }
        #expect(
            server.log.contains("export \"secret\": \(folder.path("secret")): this user has no permission to read it"))
        #expect(try server.exports() == ["mine", "readable"])
    }

    /// A block device in the directory is an export, and is claimed while a client may write it.
    @Test(.enabled(if: Machine.canLoop, "needs root and a loop device")) func devices() throws {
        let folder = try ImageFolder(["a.img"])
        let device = try LoopDevice(folder.path("a.img"))
        var status = stat()
        #expect(stat(device.path, &status) == 0)
        #expect(mknod(folder.path("device"), S_IFBLK | 0o600, status.st_rdev) == 0)
        let server = try folder.server("memory=4M")
        #expect(try server.exports() == ["a.img", "device"])
        do {
            let client = try Client(server, "device")
            try Bytes.check(try client.read(folder.size, at: 0), folder.bytes("a.img"))
            #expect(open(device.path, O_RDONLY | O_EXCL | O_CLOEXEC) == -1, "a device that is written is claimed")
            #expect(try server.openFiles().filter { $0 == folder.path("device") }.count == 3)
            try client.write([7], at: 4096)
        }
        let claim = try Patience.wait(seconds: 60, "the device stays claimed") {
            let number = open(device.path, O_RDONLY | O_EXCL | O_CLOEXEC)
            return number >= 0 ? number : nil
        }
        close(claim)
        try server.waitUntilClosed(folder.directory)
        #expect(try Client(server, "device").read(1, at: 4096) == [7])
    }
}
