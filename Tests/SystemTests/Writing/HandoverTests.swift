import Glibc
import TestSupport
import Testing

/// Two servers take turns at one image, each with a cache of its own. What one has written the other reads, and nothing
/// stale is ever written back.
@Suite(.serialized) struct HandoverTests {
    private static let quiet = Server.Options(isVerbose: false)
    private static let forgotten = "cached pages of 4096 bytes are discarded"

    /// A client that may write, as soon as the other server has released the image.
    private func turn(_ server: Server) throws -> Client {
        try Patience.wait(seconds: 60, "the image is not released: \(server.log.suffix(1000))") { try? Client(server) }
    }

    /// A server that has cached a page reads it anew after another's turn, before it writes part of it. The log of -v
    /// says so. Nothing is forgotten if nobody else had a turn.
    @Test func aPageInPart() throws {
        let image = try Image(size: 1 << 20)
        let (first, second) = (try Server(image), try Server(image))
        // Before the first client nothing is cached that could be forgotten.
        for _ in 0..<2 { try image.checkRead(try turn(first), 1 << 20, at: 0) }
        #expect(!first.log.contains(Self.forgotten))
        do { try turn(second).write([UInt8](repeating: 2, count: 4096), at: 8192) }
        var wanted = image.bytes
        Bytes.put([UInt8](repeating: 2, count: 4096), into: &wanted, at: 8192)
        do {
            let client = try turn(first)
            #expect(first.log.contains(": 256 \(Self.forgotten)"))
            try client.write([UInt8](repeating: 1, count: 512), at: 8192 + 1024)
            Bytes.put([UInt8](repeating: 1, count: 512), into: &wanted, at: 8192 + 1024)
            try Bytes.check(try client.read(1 << 20, at: 0), wanted)
        }
        try Bytes.check(try turn(second).read(1 << 20, at: 0), wanted)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// Known zeroes, of a hole or after a trim, are not zeroes any more once the other server has written there.
    @Test func knownZeroes() throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: 64 << 20)
        let (first, second) = (try Server([path, "memory=8M"]), try Server([path, "memory=8M"]))
        let zeroes = [UInt8](repeating: 0, count: 1 << 20)
        for round in 0..<3 {
            do {
                let client = try turn(first)
                if round > 0 { try client.trim(4 << 20, at: 32 << 20) }
                for offset in [0, 32 << 20, 63 << 20] { try Bytes.check(try client.read(1 << 20, at: offset), zeroes) }
            }
            let new = Image.bytes(0..<1 << 20, seed: UInt64(round))
            do { try turn(second).write(new, at: 32 << 20) }
            let client = try turn(first)
            try client.write([1, 2, 3], at: (32 << 20) + 5000)
            var wanted = new
            Bytes.put([1, 2, 3], into: &wanted, at: 5000)
            try Bytes.check(try client.read(1 << 20, at: 32 << 20), wanted)
        }
    }

    /// Two servers take turns, as fast as they can, each with random requests of all kinds. They never find anything
    /// but what the earlier turns have left, and nor does a program that reads the file.
    @Test func alternating() throws {
        let scratch = Scratch()
        try alternate(try sparseImage(in: scratch), turns: Soak.isOn ? 2000 : 24)
    }

    /// The same for a block device, which never shows that it was changed.
    @Test(.enabled(if: Machine.canLoop, "needs root and a loop device"))
    func alternatingAtADevice() throws {
        let scratch = Scratch()
        let device = try LoopDevice(try sparseImage(in: scratch))
        try alternate(device.path, turns: Soak.isOn ? 400 : 12)
    }

    /// The same for a filesystem that keeps whole seconds, on which many turns leave the same times.
    @Test(.enabled(if: Machine.canLoop && Subprocess.exists("mkfs.ext4"), "needs root, a loop device and ext4"))
    func alternatingWithinASecond() throws {
        let scratch = Scratch()
        let file = scratch.path("file")
        try Files.resize(file, to: 32 << 20)
        #expect(try Subprocess.run("mkfs.ext4", "-q", "-F", "-I", "128", file).status == 0)
        let device = try LoopDevice(file)
        let mount = try Mount("ext4", options: "", device: device.path)
        try alternate(try sparseImage(in: mount.scratch), turns: Soak.isOn ? 400 : 12)
    }

    /// lock=off does not protect from simultaneous writers, but it protects from what others did before a turn.
    @Test func alternatingWithoutLocks() throws {
        let scratch = Scratch()
        try alternate(try sparseImage(in: scratch), turns: 12, parameters: ["lock=off"])
    }

    /// An image of 1 MiB, half of it holes.
    private func sparseImage(in scratch: Scratch) throws -> String {
        let path = scratch.path("disk.img")
        try Files.resize(path, to: 1 << 20)
        for part in 0..<8 { try Files.write(Image.bytes(0..<64 << 10), to: path, at: part * 128 << 10) }
        return path
    }

    private func alternate(_ path: String, turns: Int, parameters: [String] = []) throws {
        let parameters = [path, "memory=2M", "dirty-age=3600"] + parameters
        let servers = [try Server(parameters, Self.quiet), try Server(parameters, Self.quiet)]
        var bytes = try Files.bytes(path)
        for number in 0..<turns {
            let client = try turn(servers[number % 2])
            // Sometimes the first thing done with a page is to write part of it.
            if number % 3 > 0 { try Bytes.check(try client.read(bytes.count, at: 0), bytes, "turn \(number)") }
            var model = WriteModel(bytes, [client], seed: UInt64(number))
            try model.run(3)
            bytes = model.bytes
            // What has not been flushed is written out when the client leaves; without a lock nobody waits for that.
            if number % 2 == 0 || parameters.contains("lock=off") { try client.flush() }
        }
        let last = try turn(servers[turns % 2])
        try Bytes.check(try last.read(bytes.count, at: 0), bytes, "in the end")
        withExtendedLifetime(last) {}
    }

    /// Readers come to a server with -r and to one whose writers come and go, under load and with reading ahead. They
    /// see an old or a new state of each page, and the new one of what had been flushed before they came. Nothing stale
    /// is written back.
    @Test func readersMeanwhile() throws {
        let scratch = Scratch()
        let file = scratch.path("disk.img")
        let history = History(pages: 512)
        try Files.resize(file, to: 512 * 4096)
        let writers = [try Server([file, "memory=2M"], Self.quiet), try Server([file, "memory=2M"], Self.quiet)]
        let readOnly = [
            try Server([file, "memory=2M"], Server.Options(nbdkit: ["-r"], isVerbose: false)),
            try Server([file, "memory=8M"], Server.Options(nbdkit: ["-r"], isVerbose: false)),
        ]
        let turns = Soak.isOn ? 1000 : 40
        try Threads.run(3) { number in
            if number == 0 {
                defer { history.end() }
                for version in 1...turns { try write(history, UInt64(version), try turn(writers[version % 2])) }
            } else {
                var random = SplitMix64(seed: UInt64(number))
                while !history.isOver { try read(history, readOnly[number - 1], &random) }
            }
        }
        for server in readOnly {
            try history.check(try Client(server).read(512 * 4096, at: 0), from: 0, since: history.flushed)
        }
        try history.check(try Files.bytes(file), from: 0, since: history.flushed)
    }

    /// One turn: some pages get the new version, in parts that fill none of them, and are flushed.
    private func write(_ history: History, _ version: UInt64, _ client: Client) throws {
        try history.check(try client.read(512 * 4096, at: 0), from: 0, since: history.flushed)
        var random = SplitMix64(seed: version)
        var flushed = history.flushed
        for _ in 0..<8 {
            let page = Int.random(in: 0..<512, using: &random)
            let words = [UInt64](repeating: version, count: 256)
            let half = words.withUnsafeBytes { Array($0) }
            try client.write(half, at: page * 4096)
            try client.write(half, at: page * 4096 + 2048)
            flushed[page] = version
        }
        try client.flush()
        history.flushed = flushed
    }

    /// One client that reads for a while.
    private func read(_ history: History, _ server: Server, _ random: inout SplitMix64) throws {
        let flushed = history.flushed
        let client = try Client(server)
        for _ in 0..<16 {
            let page = Int.random(in: 0..<512, using: &random)
            let count = min(Int.random(in: 1...64, using: &random), 512 - page)
            try history.check(try client.read(count * 4096, at: page * 4096), from: page, since: flushed)
        }
    }

    /// For each page, the version that has been flushed last.
    private final class History: @unchecked Sendable {
        private var mutex = pthread_mutex_t()
        private var versions: [UInt64]
        private var hasEnded = false

        init(pages: Int) { versions = [UInt64](repeating: 0, count: pages) }

        private func locked<Result>(_ body: () -> Result) -> Result {
            pthread_mutex_lock(&mutex)
            defer { pthread_mutex_unlock(&mutex) }
            return body()
        }

        var flushed: [UInt64] {
            get { locked { versions } }
            set { locked { versions = newValue } }
        }

        func end() { locked { hasEnded = true } }
        var isOver: Bool { locked { hasEnded } }

        /// Checks that no word of `bytes`, which begin at page `first`, is older than its page in `flushed`.
        func check(_ bytes: [UInt8], from first: Int, since flushed: [UInt64]) throws {
            try bytes.withUnsafeBytes { bytes in
                for place in stride(from: 0, to: bytes.count, by: 512) {
                    let version = bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                    let page = first + place / 4096
                    guard version < flushed[page] else { continue }
                    throw Trouble("page \(page) is of version \(version), and \(flushed[page]) had been flushed")
                }
            }
        }
    }

    /// What a client left behind keeps the lock until it is out, and then the server finds what another has done since.
    @Test(.enabled(if: !FullDisk.kinds.isEmpty, "needs root, and tmpfs or a loop device with ext4"))
    func whatWasLeftBehind() throws {
        let disk = try FullDisk(FullDisk.kinds[0], imageSize: 16 << 20, left: 1 << 20)
        let parameters = [disk.image, "memory=32M", "dirty-age=3600", "dirty=90%"]
        let (first, second) = (try Server(parameters), try Server(parameters))
        let (mine, others) = ([UInt8](repeating: 1, count: 4 << 20), [UInt8](repeating: 2, count: 1 << 20))
        do { try Client(first).write(mine, at: 4 << 20) }
        try Patience.wait(seconds: 60, "the log is silent: \(first.log.suffix(1000))") {
            first.log.contains("a client left before all written data was on the image and synced") ? () : nil
        }
        #expect(throws: Client.Failure.self) { _ = try Client(second) }
        try disk.free()
        do { try turn(second).write(others, at: 4 << 20) }
        try Bytes.check(try turn(first).read(4 << 20, at: 4 << 20), others + mine[others.count...])
    }
}
