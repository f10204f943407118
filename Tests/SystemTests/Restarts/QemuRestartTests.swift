import Glibc
import TestSupport
import Testing

/// qemu's NBD client, which waits for the server if it is given `reconnect-delay`, and repeats what was not
/// answered. The server is killed again and again beneath it.
@Suite(
    .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)),
    .enabled(if: Subprocess.exists("qemu-io"), "qemu-io is part of qemu-utils"))
struct QemuRestartTests {
    private static let sector = 512
    /// Writes under way at once. Each has a part of the image for itself, so that their order does not matter.
    private static let writes = 16
    private static let sectorsOfPart = 1024
    private static let bytes = writes * sectorsOfPart * sector
    private static var rounds: Int { Soak.isOn ? 700 : 240 }
    private static var maxSeconds: Int { Soak.isOn ? 7200 : 600 }
    private static var minKills: Int { Soak.isOn ? 20 : 3 }

    /// What qemu-io is to do, and the image as it is afterwards. Each round writes to every part at once, and reads one
    /// write back. The sleep gives the kills time.
    private func script() -> (commands: [String], image: [UInt8]) {
        var random = SplitMix64(seed: 7)
        var image = [UInt8](repeating: 0, count: Self.bytes)
        var commands: [String] = []
        for round in 0..<Self.rounds {
            var reads: [String] = []
            for part in 0..<Self.writes {
                let first = part * Self.sectorsOfPart + random.pick(0...Self.sectorsOfPart - 128)
                let (offset, count) = (first * Self.sector, random.length(upTo: 128) * Self.sector)
                let pattern = UInt8(random.pick(1...255))
                commands.append("aio_write -q -P \(pattern) \(offset) \(count)")
                reads.append("read -q -P \(pattern) \(offset) \(count)")
                Bytes.put([UInt8](repeating: pattern, count: count), into: &image, at: offset)
            }
            commands += ["aio_flush", reads[round % Self.writes], "sleep 20"]
            if round % 10 == 9 { commands.append("flush") }
        }
        return (commands, image)
    }

    private func client(_ socket: String, _ commands: [String], outputPath: String) throws -> Subprocess {
        let image =
            #"json:{"driver":"raw","file":{"driver":"nbd","reconnect-delay":60,"#
            + #""server":{"type":"unix","path":"\#(socket)"}}}"#
        return try Subprocess(
            ["qemu-io", "-t", "writeback"] + commands.flatMap { ["-c", $0] } + [image], outputPath: outputPath)
    }

    /// Makes `name` lead to another server's socket.
    private func lead(_ name: String, to server: Server) throws {
        guard symlink(server.socket, name + ".new") == 0, rename(name + ".new", name) == 0 else {
            throw Trouble("cannot make a symbolic link: \(String(cString: strerror(errno)))")
        }
    }

    /// No request fails, what is read back is what was written, and in the end all of it is on the image.
    @Test func killedUnderQemu() throws {
        let scratch = Scratch()
        let state = StateFolder()
        let (path, socket) = (scratch.path("disk.img"), scratch.path("socket"))
        try Files.resize(path, to: Self.bytes)
        let way = [path, state.option, "memory=4M", "dirty-age=3600"]
        var server = try Server(way, Server.Options(isVerbose: false))
        try lead(socket, to: server)
        let (commands, wanted) = script()
        let qemu = try client(socket, commands, outputPath: scratch.path("qemu"))
        var (kills, takeOvers) = (0, 0)
        let end = Patience.now + Self.maxSeconds * 1000
        while !qemu.hasEnded {
            try #require(Patience.now < end, "qemu has not ended after \(Self.maxSeconds) s and \(kills) kills")
            // qemu tries again after a second.
            usleep(UInt32.random(in: 1_100_000..<2_000_000))
            kill(server.pid, SIGKILL)
            #expect(try server.process.wait() == 128 + SIGKILL)
            kills += 1
            usleep(UInt32.random(in: 0..<200_000))
            try state.forgetShortLives()
            server = try Server(way, Server.Options(isVerbose: false))
            if server.log.contains("are taken over") { takeOvers += 1 }
            try lead(socket, to: server)
        }
        #expect(try qemu.wait() == 0, "\(qemu.output.suffix(2000))")
        #expect(!qemu.output.contains("failed"), "\(qemu.output.suffix(2000))")
        #expect(kills > Self.minKills, "qemu has ended before the server was killed often")
        #expect(takeOvers > 0, "no server has left anything that was not on the image")
        #expect(try server.stop() == 0)
        try Bytes.check(try Files.bytes(path), wanted, "the image")
    }
}
