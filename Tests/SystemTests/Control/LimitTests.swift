import Glibc
import Synchronization
import TestSupport
import Testing

/// The order `limit` of a real server: what the kernel says of its memory.
@Suite(.serialized) struct LimitTests {
    private static let memory = 24 << 20
    private static let imageSize = 26 << 20

    /// A server, its control socket, and what it had in memory once it was full.
    private final class Rig {
        let scratch = Scratch()
        let server: Server
        let control: ControlConnection
        private let state: StateFolder?

        init(_ state: StateFolder?) throws {
            self.state = state
            let image = scratch.path("disk.img")
            try Files.resize(image, to: LimitTests.imageSize)
            server = try Server(
                [image, "memory=24M", "control=\(scratch.path("control"))", "dirty=40%"]
                    + (state.map { [$0.option] } ?? []), Server.Options(nbdkit: ["-t", "1"], isVerbose: false))
            control = try ControlConnection(scratch.path("control"))
        }

        /// Bytes that the kernel counts for the memory: private ones, or blocks of the state file.
        func resident() throws -> Int {
            if let state {
                var status = stat()
                guard stat(state.path, &status) == 0 else { throw Trouble("no state file") }
                return Int(status.st_blocks) * 512
            }
            for line in try Files.text("/proc/\(server.pid)/status").split(separator: "\n")
            where line.hasPrefix("RssAnon:") {
                return Int(line.split { " \t".contains($0) }[1])! << 10
            }
            throw Trouble("no RssAnon")
        }

        func limit(_ size: String) throws {
            let answer = try control.ask("limit \(size)")
            guard answer["is_reached"] as? Bool == true else { throw Trouble("limit \(size): \(answer)") }
        }

        func held() throws -> Int { try control.ask("limit")["held_bytes"] as? Int ?? 0 }
    }

    /// A client that writes and reads all over the image, and what the image must hold.
    private struct Model {
        private(set) var bytes = [UInt8](repeating: 0, count: LimitTests.imageSize)
        let client: Client
        private var random = SplitMix64(seed: 3)

        init(_ server: Server) throws { client = try Client(server) }

        /// Every byte becomes another one, and is read.
        mutating func goThroughAll(_ seed: UInt64) throws {
            for offset in stride(from: 0, to: bytes.count, by: 1 << 20) {
                let new = Image.bytes(offset..<offset + 1 << 20, seed: seed)
                try client.write(new, at: offset)
                Bytes.put(new, into: &bytes, at: offset)
            }
            for offset in stride(from: 0, to: bytes.count, by: 1 << 20) { try check(offset..<offset + 1 << 20) }
        }

        /// A hundred requests of up to 64 KiB.
        mutating func run() throws {
            for _ in 0..<100 {
                let offset = Int.random(in: 0..<bytes.count - 65536, using: &random) / 8 * 8
                let range = offset..<offset + Int.random(in: 1...65536, using: &random)
                if Bool.random(using: &random) {
                    let new = Image.bytes(range, seed: random.next())
                    try client.write(new, at: offset)
                    Bytes.put(new, into: &bytes, at: offset)
                } else {
                    try check(range)
                }
            }
        }

        private func check(_ range: Range<Int>) throws {
            let found = try client.read(range.count, at: range.lowerBound)
            try Bytes.check(found, Array(bytes[range]), at: range.lowerBound)
        }
    }

    /// A model runs the whole time, and every byte is checked. The kernel's figure falls by what is given back, and
    /// stays there. It rises when the memory is used again.
    private func followUnderTheModel(_ state: StateFolder?) throws {
        let rig = try Rig(state)
        var model = try Model(rig.server)
        try model.goThroughAll(1)
        // What the process has beside memory=.
        let full = try rig.resident()
        let others = full - Self.memory
        #expect(others > -(6 << 20), "memory= is not full")
        let isOver = Flag()
        try Threads.run(2) { number in
            guard number == 0 else {
                while !isOver.isSet { try model.run() }
                return
            }
            defer { isOver.set() }
            for (size, bytes) in [("12M", 12 << 20), ("6M", 6 << 20), ("16M", 16 << 20), ("8M", 8 << 20)] {
                try rig.limit(size)
                #expect(try rig.held() == bytes)
                for _ in 0..<10 {
                    #expect(try rig.resident() <= bytes + max(0, others) + 2 << 20, "limit \(size)")
                    usleep(5000)
                }
            }
            // The kernel makes huge pages of small ones in the background, and must find nothing to make them of.
            for _ in 0..<(Soak.isOn ? 60 : 0) {
                #expect(try rig.resident() <= 8 << 20 + max(0, others) + 2 << 20, "a minute later")
                sleep(1)
            }
        }
        let small = try rig.resident()
        #expect(small <= full - 14 << 20)
        try rig.limit("24M")
        try model.goThroughAll(2)
        #expect(try rig.resident() >= full - 2 << 20)
        #expect(try rig.control.ask("limit 25M")["error"] as? String == Self.tooMuch)
        let tooLittle = try rig.control.ask("limit 1M")["error"] as? String ?? ""
        #expect(tooLittle.hasPrefix("limit: 1M is too little for tables and requests; expected at least "))
        let words = tooLittle.split(separator: " ")
        try rig.limit(String(words[words.count - 1]))
        try model.run()
    }

    private static let tooMuch = "limit: 25M is more than memory=; expected at most 24M"

    @Test func privateMemory() throws { try followUnderTheModel(nil) }

    @Test(.enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
    func stateFile() throws { try followUnderTheModel(StateFolder()) }

    /// Killed in the midst of lowering and raising, under writers: the next server has everything that was answered.
    @Test(.enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)))
    func killedMeanwhile() throws {
        let (scratch, state) = (Scratch(), StateFolder())
        let (image, path) = (scratch.path("disk.img"), scratch.path("control"))
        let sectors = 16_384
        try Files.resize(image, to: sectors * SectorLedger.sectorSize)
        let ledger = SectorLedger(sectors: sectors)
        let rounds = Soak.isOn ? 100 : 5
        for round in 0..<rounds {
            if round > 0 { try state.forgetShortLives() }
            let server = try Server(
                [image, state.option, "memory=16M", "dirty-age=3600", "control=\(path)"],
                Server.Options(isVerbose: false))
            let client = try Client(server)
            let read = try (0..<8).flatMap {
                try client.read(ledger.sectors * SectorLedger.sectorSize / 8, at: $0 * sectors * 64)
            }
            try ledger.check(read, keeps: .answered)
            let isOver = Flag()
            try Threads.run(2) { number in
                guard number == 0 else {
                    defer { isOver.set() }
                    return try SectorWriter.run(
                        3, ledger, server, seed: UInt64(round), flushes: 1 + round % 3, then: SIGKILL)
                }
                let control = try ControlConnection(path)
                var size = 6
                // Until the server is gone.
                while !isOver.isSet, (try? control.ask("limit \(size)M")) != nil { size = 22 - size }
            }
            #expect(try server.process.wait() == 128 + SIGKILL)
        }
        try state.forgetShortLives()
        let last = try Server([image, state.option, "memory=16M"], Server.Options(isVerbose: false))
        #expect(try last.stop() == 0)
        try ledger.check(try Files.bytes(image), keeps: .answered)
    }

    /// A state file on a filesystem that is full by the time that the memory is wanted back: a sentence, and the server
    /// goes on with what it has. The next server says it too, and takes everything over once there is room.
    @Test(.enabled(if: Machine.isRoot, "only root can mount a filesystem"))
    func fullFilesystem() throws {
        let mount = try Mount("tmpfs", options: "mode=755,size=24m")
        let (scratch, state) = (Scratch(), mount.scratch.path("state"))
        let (image, path, other) = (scratch.path("disk.img"), scratch.path("control"), mount.scratch.path("other"))
        try Files.resize(image, to: 8 << 20)
        let parameters = [image, "state=\(state)", "memory=16M", "control=\(path)", "dirty-age=3600"]
        let server = try Server(parameters)
        let client = try Client(server)
        try client.write([UInt8](repeating: 5, count: 1 << 20), at: 1 << 20)
        let control = try ControlConnection(path)
        #expect(try control.ask("limit 6M")["is_reached"] as? Bool == true)
        try Files.write([UInt8](repeating: 1, count: 15 << 20), to: other)
        var answer = try control.ask("limit 16M")
        #expect(answer["ok"] as? Bool == true && answer["is_reached"] as? Bool == false)
        #expect(
            answer["obstacle"] as? String
                == "the system has no memory to give: No space left on device; it is asked again")
        for offset in stride(from: 0, to: 8 << 20, by: 1 << 20) { _ = try client.read(1 << 20, at: offset) }
        #expect(try client.read(1, at: 1 << 20) == [5])
        try Restart.kill(server, beside: client)
        let refused = try Subprocess.run(
            ["nbdkit", "-f", "-U", "-", try Plugin.built()] + parameters + ["--run", "true"])
        #expect(refused.status != 0 && refused.output.contains("its filesystem has"), "\(refused.output)")
        unlink(other)
        let next = try Server(parameters)
        #expect(try Client(next).read(1, at: 1 << 20) == [5])
        answer = try ControlConnection(path).ask("limit")
        #expect(answer["limit_bytes"] as? Int == 16 << 20 && answer["held_bytes"] as? Int == 16 << 20)
        #expect(try next.stop() == 0)
        #expect(try Files.bytes(image)[1 << 20] == 5)
    }

    /// Of the least memory that there can be nothing is given back, and clients go on.
    @Test func theLeastMemory() throws {
        let (image, scratch) = (try Image(size: 4 << 20), Scratch())
        let server = try Server(image, "memory=1M", "control=\(scratch.path("control"))")
        let (client, control) = (try Client(server), try ControlConnection(scratch.path("control")))
        for (size, error) in [
            ("512K", "512K is too little for tables and requests; expected at least 1M"),
            ("2M", "2M is more than memory=; expected at most 1M"),
        ] {
            let text = try #require(try control.ask("limit \(size)")["error"] as? String)
            #expect(text.contains(error), "\(text)")
        }
        let answer = try control.ask("limit 1M")
        #expect(answer["is_reached"] as? Bool == true && answer["held_bytes"] as? Int == 1 << 20)
        try image.checkRead(client, 4 << 20, at: 0)
    }
}

/// What one thread tells others.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}
