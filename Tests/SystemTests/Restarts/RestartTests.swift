import Glibc
import TestSupport
import Testing

/// A server that is killed, and the next one with the same state file. 30 rounds, 1000 with FLEXPAGE_SOAK=1.
@Suite(.serialized, .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
struct RestartTests {
    private static let sectors = 16_384
    private static let bytes = sectors * SectorLedger.sectorSize
    private static let writers = 4
    private static var rounds: Int { Soak.isOn ? 1000 : 30 }

    /// The ways to serve, which the rounds use in turn, a few at a time: a change of memory= is a change of the layout.
    private static let ways = [
        ["memory=16M", "dirty=60%", "dirty-age=3600"], ["memory=1M", "dirty-age=1"], ["memory=64M", "dirty-age=3600"],
        ["memory=2M", "cache=writethrough"], ["memory=1M", "dirty-age=3600"],
    ]

    private func read(_ server: Server) throws -> [UInt8] {
        let client = try Client(server)
        return try (0..<8).flatMap { try client.read(Self.bytes / 8, at: $0 * Self.bytes / 8) }
    }

    /// What control= and warm= take of the memory is set aside without them too: the cache stays when they come.
    @Test func otherKeys() throws {
        let (image, scratch, state) = (try Image(size: 4 << 20), Scratch(), StateFolder())
        let keys = [image.path, state.option, "memory=16M", "readahead=off"]
        do {
            let server = try Server(keys)
            do { try image.checkRead(try Client(server), 4 << 20, at: 0) }
            #expect(try server.stop() == 0)
        }
        let control = scratch.path("control")
        let server = try Server(keys + ["control=\(control)", "warm=\(scratch.path("warm"))"])
        try image.checkRead(try Client(server), 4 << 20, at: 0)
        let all = try ControlConnection(control).ask("figures")["all"] as? [String: Any]
        #expect((all?["counters"] as? [String: Any])?["misses"] as? Int == 0)
    }

    /// Whatever SIGKILL interrupts, the next server has everything that was answered, and of what was not answered each
    /// sector is the old or the new one. What the next server serves is checked, and at the end the image itself.
    @Test func killedUnderWriters() throws {
        let scratch = Scratch()
        let state = StateFolder()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: Self.bytes)
        let ledger = SectorLedger(sectors: Self.sectors)
        for round in 0..<Self.rounds {
            let way = Self.ways[round / 3 % Self.ways.count]
            if round > 0 { try state.forgetShortLives() }
            let server = try Server([path, state.option] + way, Server.Options(isVerbose: false))
            do {
                try ledger.check(try read(server), keeps: .answered)
            } catch {
                throw Trouble("before round \(round), \(way): \(error)\n\(server.log)")
            }
            let goal = 1 + round % 7
            try SectorWriter.run(Self.writers, ledger, server, seed: UInt64(round), flushes: goal, then: SIGKILL)
            #expect(try server.process.wait() == 128 + SIGKILL)
        }
        try state.forgetShortLives()
        let server = try Server([path, state.option, "memory=4M"], Server.Options(isVerbose: false))
        try ledger.check(try read(server), keeps: .answered)
        #expect(try server.stop() == 0)
        try ledger.check(try Files.bytes(path), keeps: .answered)
    }

    /// Killed again while it takes over: nothing is lost however often. A busy machine starts servers slowly, so the
    /// time until the kill grows until one has taken over.
    @Test func killedWhileTakingOver() throws {
        let scratch = Scratch()
        let state = StateFolder()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: Self.bytes)
        let ledger = SectorLedger(sectors: Self.sectors)
        let way = [path, state.option, "memory=16M", "dirty-age=3600"]
        let server = try Server(way, Server.Options(isVerbose: false))
        try SectorWriter.run(Self.writers, ledger, server, seed: 1, flushes: 3, then: SIGKILL)
        var reached = 0
        var attempt = 0
        var milliseconds: UInt32 = 150
        while attempt < (Soak.isOn ? 200 : 20) || (reached == 0 && attempt < 1000) {
            attempt += 1
            try state.forgetShortLives()
            let taking = try Subprocess(
                ["nbdkit", "-f", "-U", scratch.path("socket\(attempt)"), try Plugin.built()] + way,
                outputPath: scratch.path("log\(attempt)"))
            usleep(UInt32.random(in: 0..<milliseconds * 1000))
            Glibc.kill(taking.pid, SIGKILL)
            _ = try taking.wait()
            if taking.output.contains("are taken over") { reached += 1 }
            if reached == 0 { milliseconds += 10 }
        }
        #expect(reached > 0, "no server came as far as taking over")
        try state.forgetShortLives()
        let last = try Server(way, Server.Options(isVerbose: false))
        try ledger.check(try read(last), keeps: .answered)
    }

    /// A server that has ended in good order leaves its cache: the next one reads nothing of the image.
    @Test func theNextOneIsWarm() throws {
        let image = try Image(size: 8 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=32M")
        try image.checkRead(try Client(first), 8 << 20, at: 0)
        #expect(try first.stop() == 0)
        let second = try Server(image, state.option, "memory=32M")
        try image.checkRead(try Client(second), 8 << 20, at: 0)
        #expect(try second.stop() == 0)
        #expect(try second.counter("fills") == 0)
        #expect(try second.counter("hits") == 2048)
    }

    /// Another program has changed the image meanwhile: what was cached of it is dropped, and a line says so.
    @Test func changedMeanwhile() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M")
        try image.checkRead(try Client(first), 1 << 20, at: 0)
        #expect(try first.stop() == 0)
        usleep(50_000)
        try Files.write([UInt8](repeating: 7, count: 4096), to: image.path, at: 8192)
        let second = try Server(image, state.option, "memory=8M")
        #expect(second.log.contains("what is cached of an image is dropped"))
        #expect(try Client(second).read(4096, at: 8192) == [UInt8](repeating: 7, count: 4096))
    }

    /// Another program has changed an image to which data is owed: the server does not start, and names the ways out.
    @Test func changedWhileOwed() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(first)
        try client.write([UInt8](repeating: 9, count: 4096), at: 65536)
        try Restart.kill(first, beside: client)
        usleep(2_100_000)
        try Files.write([UInt8](repeating: 7, count: 4096), to: image.path, at: 8192)
        let refused = try Restart.refusal([image.path], state)
        #expect(refused.contains("1 page of 4096 bytes is owed to"))
        #expect(refused.contains("others have changed it"))
        #expect(refused.contains("--write-out"))
        #expect(try Files.bytes(image.path)[65536] != 9)
    }

    /// memory= of another size: what is owed is on the image before the server serves, and a line says so.
    @Test func anotherMemory() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M", "dirty-age=3600")
        let client = try Client(first)
        try client.write([UInt8](repeating: 9, count: 4096), at: 65536)
        try Restart.kill(first, beside: client)
        let second = try Server(image, state.option, "memory=16M")
        #expect(second.log.contains("memory= is another one than the last server's"))
        #expect(second.log.contains("1 pages that it owed to images are on them now"))
        #expect(try Files.bytes(image.path)[65536] == 9)
        #expect(try Client(second).read(1, at: 65536) == [9])
    }

    /// Two servers with one state file: the second is refused, and told which process has it.
    @Test func twoServers() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        let first = try Server(image, state.option, "memory=8M")
        let refused = try Restart.refusal([image.path], state)
        #expect(refused.contains("another server (process \(first.pid)) has it"))
    }

    /// Servers that die young again and again are not started again, if anything is owed.
    @Test func shortLives() throws {
        let image = try Image(size: 1 << 20)
        let state = StateFolder()
        for _ in 0..<4 {
            let server = try Server(image, state.option, "memory=8M", "dirty-age=3600")
            let client = try Client(server)
            try client.write([1], at: 0)
            try Restart.kill(server, beside: client)
        }
        let refused = try Restart.refusal([image.path], state)
        #expect(refused.contains("the last 4 servers have died within a minute"))
        #expect(refused.contains("--write-out"))
    }

    /// A full disk: what cannot go out stays in the state file when the server ends, and goes out with the next one.
    @Test(.enabled(if: !FullDisk.kinds.isEmpty, "no file system can be mounted here"))
    func aFullDisk() throws {
        let disk = try FullDisk(FullDisk.kinds[0], imageSize: 16 << 20, left: 64 << 10)
        let state = StateFolder()
        let first = try Server([disk.image, state.option, "memory=32M", "dirty-age=3600"])
        let bytes = Image.bytes(0..<1 << 20, seed: 3)
        try Client(first).write(bytes, at: 0)
        try first.stop()
        #expect(first.log.contains("stay in the state file for the next server"))
        try disk.free()
        let second = try Server([disk.image, state.option, "memory=32M"])
        #expect(try Client(second).read(1 << 20, at: 0) == bytes)
        #expect(try second.stop() == 0)
        #expect(Array(try Files.bytes(disk.image).prefix(1 << 20)) == bytes)
    }
}
