import Glibc
import TestSupport
import Testing

/// The server must end while clients stay: what they wrote does not wait for them to leave.
@Suite struct ShutdownTests {
    private static let size = 4 << 20
    private static let new = Image.bytes(0..<size, seed: 99)
    /// Options that would keep all of it in memory.
    private static let parameters = ["memory=32M", "dirty-age=3600", "dirty=90%"]

    /// Writes, ends the server with `end`, and waits until the image has everything while the client is still there.
    private func check(_ image: Image, _ client: Client, end: () throws -> Void) throws {
        try client.write(Self.new, at: 0)
        try image.check(try Files.bytes(image.path), at: 0)
        try end()
        try Patience.wait(seconds: 20, "it has not gone out") {
            (try? Files.bytes(image.path)) == Self.new ? () : nil
        }
        #expect(Client.code { _ = try client.read(512, at: 0) } == ESHUTDOWN, "nbdkit serves on")
    }

    /// Each signal that ends nbdkit has this effect, and a normal end leaves no line in the log.
    @Test(arguments: [SIGTERM, SIGINT, SIGQUIT, SIGHUP], Pager.allCases)
    func foreground(_ number: Int32, _ pager: Pager) throws {
        let image = try Image(size: Self.size)
        let server = try Server([image.path] + Self.parameters, Server.Options(isVerbose: false, pager: pager))
        try check(image, try Client(server)) { kill(server.pid, number) }
        #expect(try server.process.wait() == 0)
        #expect(server.log.isEmpty, "\(server.log)")
    }

    /// The same for a daemon.
    @Test func daemonised() throws {
        let image = try Image(size: Self.size)
        let scratch = Scratch()
        let socket = scratch.path("socket")
        let start = try Subprocess.run(
            ["nbdkit", "-P", scratch.path("pid"), "-U", socket, try Plugin.built(), image.path] + Self.parameters)
        #expect(start.status == 0, "\(start.output)")
        let pid = try #require(pid_t(try Files.text(scratch.path("pid")).dropLast()))
        defer { kill(pid, SIGKILL) }
        try check(image, try Client(socket: socket)) { kill(pid, SIGTERM) }
        try Patience.wait(seconds: 60, "the daemon \(pid) does not go") { Machine.isGone(pid) ? () : nil }
    }

    /// The same for --run, whose command is the client here. nbdkit ends its server when the command has ended, or when
    /// a signal comes before.
    @Test(arguments: Pager.allCases) func captive(_ pager: Pager) throws {
        let image = try Image(size: Self.size)
        let scratch = Scratch()
        let (socket, pidFile, done) = (scratch.path("socket"), scratch.path("pid"), scratch.path("done"))
        let process = try Subprocess(
            ["nbdkit", "-P", pidFile, "-U", socket] + (try pager.arguments()) + [image.path] + Self.parameters
                + ["--run", "while [ ! -e \(done) ]; do sleep 0.02; done"], outputPath: scratch.path("log"))
        let pid = try Patience.wait(seconds: 60, "there is no pid") {
            (try? Files.text(pidFile))?.split(separator: "\n").first.flatMap { pid_t($0) }
        }
        try check(image, try Client(socket: socket)) { kill(pid, SIGTERM) }
        try Files.write([], to: done)
        #expect(try process.wait() == 0)
        let output = Nbdkit.withoutWarning(process.output)
        #expect(output.isEmpty, "\(output)")
    }

    /// The same for a server that systemd, or a client, has started with a socket.
    @Test func socketActivated() throws {
        let image = try Image(size: Self.size)
        let client = try Client.activating(["nbdkit", try Plugin.built(), image.path] + Self.parameters)
        try check(image, client) { try client.signal(SIGTERM) }
    }

    /// The same for nbdkit -s.
    @Test(arguments: Pager.allCases) func onStandardInput(_ pager: Pager) throws {
        let image = try Image(size: Self.size)
        let client = try Client.starting(
            ["nbdkit", "-s"] + (try pager.arguments()) + [image.path] + Self.parameters)
        try check(image, client) { try client.signal(SIGTERM) }
    }

    /// What goes out is also synced while the client stays. A request that is under way at the signal, and is answered
    /// later, is written out and synced too.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs), arguments: Pager.allCases)
    func requestsUnderWay(_ pager: Pager) throws {
        var wanted = Image.bytes(0..<2 << 20)
        let disk = try TroubledDisk(wanted, for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600", "readahead=off")
        do {
            let (idle, busy) = (try Client(server), try Client(server))
            let new = [UInt8](repeating: 7, count: 64 << 10)
            try idle.write(new, at: 0)
            Bytes.put(new, into: &wanted, at: 0)
            try disk.begin(.readsHang)
            let calls = try disk.calls.count
            try Threads.run(2) { number in
                // It covers part of a page, which has to be read.
                if number == 0 { return try busy.write([1, 2, 3], at: 1 << 20) }
                defer { disk.end(.readsHang) }
                try disk.waitForCall("read", beyond: calls)
                kill(server.pid, SIGTERM)
                try waitUntilDurable(disk, wanted)
            }
            Bytes.put([1, 2, 3], into: &wanted, at: 1 << 20)
            try waitUntilDurable(disk, wanted)
            withExtendedLifetime(idle) {}
        }
        #expect(try server.process.wait() == 0)
    }

    private func waitUntilDurable(_ disk: TroubledDisk, _ wanted: [UInt8]) throws {
        try Patience.wait(seconds: 60, "it does not become durable") { (try? disk.durable) == wanted ? () : nil }
    }

    /// One of three disks hangs at the signal. The others are complete, and after end-time= the server says which image
    /// is not and ends. (The kernel keeps the process until the disk has answered.) Whether clients are still connected
    /// makes no difference.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs), arguments: [false, true])
    func oneOfThreeDisksHangs(isConnected: Bool) throws {
        var disk: TroubledDisk? = try TroubledDisk(Image.bytes(0..<1 << 20))
        let path = try #require(disk).path
        let scratch = Scratch()
        let good = ["one", "two"].map(scratch.path)
        for path in good { try Files.write([UInt8](repeating: 1, count: 1 << 20), to: path) }
        let server = try Server([
            "export=bad:\(path)", "export=one:\(good[0])", "export=two:\(good[1])", "memory=8M", "dirty-age=3600",
            "readahead=off", "end-time=2",
        ])
        let clients = try ["bad", "one", "two"].map { try Client(server, $0) }
        for client in clients { try client.write([UInt8](repeating: 7, count: 64 << 10), at: 0) }
        try disk?.begin(.writesHang)
        kill(server.pid, SIGTERM)
        if !isConnected { for client in clients { client.vanish() } }
        let said = try? Patience.wait(seconds: 60, "it does not say what is not out") {
            server.log.contains("16 pages of 4096 bytes are not on export \"bad\"") ? server.log : nil
        }
        #expect(said?.contains("(end-time=)") == true, "\(server.log)")
        for path in good { #expect(try Files.bytes(path)[0] == 7) }
        // A request of a process that has ended is never answered by nbdfuse: only its end releases the process.
        disk = nil
        if isConnected { for client in clients { client.vanish() } }
        #expect(try server.process.wait() == 1)
    }

    /// A flush that hangs at the signal holds nothing up for longer than the disk hangs.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs), arguments: Pager.allCases)
    func aDiskThatHangs(_ pager: Pager) throws {
        var wanted = Image.bytes(0..<1 << 20)
        let disk = try TroubledDisk(wanted, for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600", "readahead=off")
        let client = try Client(server)
        let new = [UInt8](repeating: 7, count: 64 << 10)
        try client.write(new, at: 0)
        Bytes.put(new, into: &wanted, at: 0)
        try disk.begin(.writesHang)
        defer { disk.end(.writesHang) }
        let calls = try disk.calls.count
        kill(server.pid, SIGTERM)
        try disk.waitForCall("write", beyond: calls)
        // nbdkit answers, or has ended the connection, before the request or after it: at once in each case.
        let ends: [Int32?] = [ESHUTDOWN, ENOTCONN, ECONNRESET, EPIPE]
        #expect(ends.contains(Client.code { _ = try client.read(512, at: 0) }))
        client.vanish()
        disk.end(.writesHang)
        #expect(try server.process.wait() == 0)
        try Bytes.check(try disk.durable, wanted, "the disk")
    }
}
