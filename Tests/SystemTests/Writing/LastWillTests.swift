import Glibc
import TestSupport
import Testing

/// A fault that ends the real nbdkit, under writers: no sector of the image is older than what was answered.
@Suite(.serialized) struct LastWillTests {
    private static let sectors = 16_384
    private static let writers = 4
    private static let memory = 16 << 20
    private static let signals = [SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGXCPU, SIGUSR1]
    private static let said = "flexpage: last will: "

    /// An image for several servers, one after the other, and what its clients have been promised.
    private struct Trial {
        let scratch: Scratch
        let path: String
        let ledger = SectorLedger(sectors: LastWillTests.sectors)

        init() throws {
            scratch = Scratch()
            path = scratch.path("disk.img")
            try Files.resize(path, to: LastWillTests.sectors * SectorLedger.sectorSize)
        }

        /// Serves it to writers until `end` has ended the server, and checks that nothing answered is missing.
        /// - Parameter signals: One of them ends the server.
        /// - Parameter promise: What is checked: that nothing answered, or nothing flushed, is missing.
        /// - Parameter excused: The number of base pages that may be missing, given the log.
        /// - Returns: The log.
        @discardableResult
        func run(
            _ parameters: [String] = [], _ command: [String] = [], signals: [Int32], round: Int = 0,
            keeps promise: SectorLedger.Promise = .answered, excused: (String) -> Int = { _ in 0 },
            then end: (Server) throws -> Void
        ) throws -> String {
            let parameters = [path, "memory=\(LastWillTests.memory)", "dirty-age=3600"] + parameters
            let server = try Server(parameters, Server.Options(isVerbose: false, command: command))
            try SectorWriter.run(LastWillTests.writers, ledger, server, seed: UInt64(round), flushes: 1 + round % 3) {
                try end(server)
                try Patience.wait(seconds: 30, "the server does not end") { server.process.hasEnded ? () : nil }
            }
            let status = try server.process.wait()
            #expect(signals.contains { status == 128 + $0 }, "\(status): \(server.log)")
            do {
                try ledger.check(try Files.bytes(path), keeps: promise, excused: excused(server.log))
            } catch {
                throw Trouble("round \(round): \(error); \(server.log)")
            }
            return server.log
        }
    }

    /// Each signal of a fault, whatever it interrupts, first has everything that was answered brought to the image.
    /// Then it ends the process as it would have.
    @Test(arguments: signals) func eachSignal(_ signal: Int32) throws {
        let trial = try Trial()
        for round in 0..<(Soak.isOn ? 100 : 1) {
            let log = try trial.run(signals: [signal], round: round) { kill($0.pid, signal) }
            #expect(log.contains("written to the image and synced"), "\(log)")
        }
    }

    /// Without a last will the same signals have nothing written out: it is what saves the data above.
    @Test func withoutIt() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "dirty-age=3600", "last-will=off", options: Server.Options(isVerbose: false))
        let client = try Client(server)
        try client.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
        let caught = try caughtSignals(of: server)
        #expect(Self.signals.allSatisfy { caught & 1 << UInt64($0 - 1) == 0 }, "there is no handler")
        kill(server.pid, SIGSEGV)
        #expect(try server.process.wait() == 128 + SIGSEGV)
        #expect(server.log.isEmpty)
        try image.check(try Files.bytes(image.path), at: 0)
        client.vanish()
    }

    private func caughtSignals(of server: Server) throws -> UInt64 {
        let status = try Files.text("/proc/\(server.pid)/status")
        let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
        return line.flatMap { UInt64($0.split(separator: "\t").last ?? "", radix: 16) } ?? 0
    }

    /// More signals meanwhile, of all kinds, change nothing: the first one's will is executed, and one of them ends the
    /// process.
    @Test func moreSignalsMeanwhile() throws {
        let trial = try Trial()
        for round in 0..<(Soak.isOn ? 100 : 2) {
            // The kernel chooses which is the first.
            try trial.run(signals: Self.signals, round: round) { server in
                for _ in 0..<4 { for signal in Self.signals { kill(server.pid, signal) } }
            }
        }
    }

    /// A limit of file sizes fails the write that exceeds it, and ends no server.
    @Test(.enabled(if: Subprocess.exists("prlimit"), "there is no prlimit"))
    func aLimitOfFileSizes() throws {
        let image = try Image(size: 64 << 20)
        let server = try Server(
            image, "dirty-age=3600",
            options: Server.Options(isVerbose: false, command: ["prlimit", "--fsize=\(32 << 20)"]))
        let client = try Client(server)
        try client.write([UInt8](repeating: 1, count: 4096), at: 0)
        try client.write([UInt8](repeating: 2, count: 4096), at: 48 << 20)
        #expect(throws: (any Error).self) { try client.flush() }
        #expect(try client.read(4096, at: 48 << 20) == [UInt8](repeating: 2, count: 4096), "the server serves on")
        #expect(try Files.bytes(image.path)[0..<4096] == [UInt8](repeating: 1, count: 4096)[...], "the rest is out")
        client.vanish()
    }

    // MARK: Faults at a chosen place

    /// A thread faults in malloc, in a write to the image, with its stack used up, or with one of the locks inside the
    /// shards' held. That costs nothing that was answered. (Threads that wait for the lock may hold a shard each; the
    /// cost of that is reported.)
    @Test(
        .enabled(if: FaultLibrary.canBeBuilt, "there is no C compiler"),
        arguments: [
            ("malloc", SIGABRT), ("write", SIGSEGV), ("overflow", SIGSEGV), ("unlock-shard", SIGSEGV),
            ("unlock-queue", SIGSEGV), ("unlock-ledger", SIGSEGV),
        ])
    func atAPlace(_ place: String, _ signal: Int32) throws {
        let library = try FaultLibrary()
        defer { withExtendedLifetime(library) {} }
        let trial = try Trial()
        for round in 0..<(Soak.isOn ? 100 : 1) {
            let command = library.command(faultingAt: place, memory: Self.memory)
            // So little may be dirty that writes to the image are always under way.
            let log = try trial.run(["dirty=5%"], command, signals: [signal], round: round, excused: Self.passedOver) {
                try? library.arm($0.pid)
                // A client that comes needs memory, and its reads need the image.
                if let client = try? Client($0) {
                    for page in 0..<2048 where (try? client.read(4096, at: page << 12)) == nil { break }
                    client.vanish()
                }
            }
            if !place.hasPrefix("unlock") { #expect(Self.passedOver(log) == 0, "\(log)") }
        }
    }

    /// No thread allocates or frees while it holds one of the pager's locks, whatever it does for writers of parts of
    /// pages and for a reader.
    @Test(.enabled(if: FaultLibrary.canBeBuilt, "there is no C compiler")) func nothingIsAllocatedUnderALock() throws {
        let library = try FaultLibrary()
        defer { withExtendedLifetime(library) {} }
        let command = library.command(faultingAt: "malloc-locked", memory: Self.memory)
        let trial = try Trial()
        try trial.run(["dirty=5%", "last-will=off"], command, signals: [SIGKILL], keeps: .flushed) { server in
            try library.arm(server.pid)
            let client = try Client(server)
            for page in 0..<2048 { _ = try client.read(4096, at: page << 12) }
            client.vanish()
            kill(server.pid, SIGKILL)
        }
    }

    /// The number of base pages that were passed over because of a lock, from the log.
    private static func passedOver(_ log: String) -> Int {
        guard let end = log.range(of: " are lost because their lock was held") else { return 0 }
        return log[..<end.lowerBound].split(separator: " ").last.flatMap { Int($0) } ?? 0
    }

    /// If the thread that faults holds a shard's lock, that costs the shard's pages, and the reported number is that of
    /// the missing pages.
    @Test(.enabled(if: FaultLibrary.canBeBuilt, "there is no C compiler"))
    func whatAHeldShardCosts() throws {
        let image = try Image(size: 16 << 20)
        let memory = 64 << 20
        let library = try FaultLibrary()
        defer { withExtendedLifetime(library) {} }
        let command = library.command(faultingAt: "unlock-shard", memory: memory)
        let server = try Server(
            image, "memory=\(memory)", "dirty-age=3600", "dirty=90%",
            options: Server.Options(isVerbose: false, command: command))
        let client = try Client(server)
        let new = Image.bytes(0..<16 << 20, seed: 99)
        try client.write(new, at: 0)
        try library.arm(server.pid)
        for page in 0..<4096 where (try? client.read(4096, at: page << 12)) == nil { break }
        client.vanish()
        #expect(try server.process.wait() == 128 + SIGSEGV)
        let found = try Files.bytes(image.path)
        let missing = (0..<4096).count { found[$0 << 12..<($0 + 1) << 12] != new[$0 << 12..<($0 + 1) << 12] }
        #expect(missing > 0)
        #expect(Self.passedOver(server.log) == missing, "\(server.log)")
    }

    /// A fault in the will itself ends the process at once, with a message.
    @Test(.enabled(if: FaultLibrary.canBeBuilt, "there is no C compiler"))
    func aFaultInTheWill() throws {
        let server = try withOnePage(faultingAt: "fdatasync")
        kill(server.pid, SIGABRT)
        #expect(try server.process.wait() == 128 + SIGSEGV)
        #expect(server.log.contains(Self.said + "it crashed itself"), "\(server.log)")
    }

    /// A disk that hangs keeps the process no longer than last-will= says.
    @Test(.enabled(if: FaultLibrary.canBeBuilt, "there is no C compiler"))
    func aDiskThatHangs() throws {
        let server = try withOnePage(faultingAt: "hang", "last-will=1")
        kill(server.pid, SIGABRT)
        #expect(try server.process.wait() == 128 + SIGABRT)
        #expect(server.log.contains(Self.said + "not finished within last-will="), "\(server.log)")
    }

    private func withOnePage(faultingAt place: String, _ parameters: String...) throws -> Server {
        let image = try Image(size: 1 << 20)
        let library = try FaultLibrary()
        defer { withExtendedLifetime(library) {} }
        let command = library.command(faultingAt: place, memory: Self.memory)
        let server = try Server(
            [image.path, "memory=\(Self.memory)", "dirty-age=3600"] + parameters,
            Server.Options(isVerbose: false, command: command))
        let client = try Client(server)
        try client.write([UInt8](repeating: 1, count: 4096), at: 0)
        try library.arm(server.pid)
        client.vanish()
        return server
    }

    // MARK: However it is started

    /// The same for a daemon.
    @Test func aDaemon() throws {
        let image = try Image(size: 4 << 20)
        let daemon = try Daemon(image, "memory=32M", "dirty-age=3600")
        try writeAndFault(image, Client(socket: daemon.socket), daemon.pid)
        try daemon.waitUntilGone()
        try Bytes.check(try Files.bytes(image.path), Image.bytes(0..<4 << 20, seed: 99), "the image")
    }

    /// The same for a server that was given its socket, as systemd does.
    @Test(.enabled(if: Subprocess.exists("python3"), "python3 makes the socket"))
    func aSocketThatIsGiven() throws {
        let image = try Image(size: 4 << 20)
        let scratch = Scratch()
        let script = """
            import os, socket, sys
            s = socket.socket(socket.AF_UNIX)
            s.bind(sys.argv[1])
            s.listen(5)
            os.dup2(s.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
            os.execvp("nbdkit", ["nbdkit", "-f"] + sys.argv[2:])
            """
        let socket = scratch.path("socket")
        let process = try Subprocess(
            [
                "python3", "-c", script, socket, try Plugin.built(), image.path, "memory=32M", "dirty-age=3600",
            ], outputPath: scratch.path("log"))
        try Patience.wait(seconds: 60, "there is no socket") { access(socket, F_OK) == 0 ? () : nil }
        try writeAndFault(image, Client(socket: socket), process.pid)
        #expect(try process.wait() == 128 + SIGSEGV)
        try Bytes.check(try Files.bytes(image.path), Image.bytes(0..<4 << 20, seed: 99), "the image")
    }

    private func writeAndFault(_ image: Image, _ client: Client, _ pid: pid_t) throws {
        try client.write(Image.bytes(0..<4 << 20, seed: 99), at: 0)
        try image.check(try Files.bytes(image.path), at: 0)
        kill(pid, SIGSEGV)
        client.vanish()
    }
}
