import Glibc
import TestSupport
import Testing

/// What an answered flush means.
@Suite struct FlushTests {
    /// nbdkit's cache filter fails this. 16 MiB are written in 256 blocks and flushed. All 256 are on the image when
    /// the flush is answered, as another process (this one) reads it while the server goes on. The memory is the
    /// minimum, less than was written, and more.
    @Test(arguments: ["1M", "4M", "16M", "256M"], Pager.allCases)
    func allBlocksAreThere(_ memory: String, _ pager: Pager) throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: 16 << 20)
        let server = try Server([path, "memory=\(memory)", "dirty-age=3600"], Server.Options(pager: pager))
        let client = try Client(server)
        let blocks = (0..<256).map { Image.bytes(0..<65_536, seed: UInt64($0) * 1000 + 1) }
        for number in blocks.indices { try client.write(blocks[number], at: number * 65_536) }
        try client.flush()
        let found = try Files.bytes(path)
        let there = blocks.indices.filter {
            Bytes.difference(Array(found[$0 * 65_536..<($0 + 1) * 65_536]), blocks[$0]) == nil
        }
        #expect(there.count == 256)
        #expect(found.count == 16 << 20)
        for number in blocks.indices { try Bytes.check(try client.read(65_536, at: number * 65_536), blocks[number]) }
    }

    /// Connections see each other's writes, and a flush on one covers the writes of both. What either had been answered
    /// is on the image after SIGKILL.
    @Test(arguments: Pager.allCases) func aFlushOnOneConnectionCoversBoth(_ pager: Pager) throws {
        let image = try Image(size: 4 << 20)
        let server = try Server(image, "dirty-age=3600", options: Server.Options(pager: pager))
        let (one, other) = (try Client(server), try Client(server))
        let (ones, others) = ([UInt8](repeating: 1, count: 1 << 20), [UInt8](repeating: 2, count: 1_000_001))
        try one.write(ones, at: 0)
        try other.write(others, at: 2_000_001)
        try Bytes.check(try other.read(1 << 20, at: 0), ones)
        try Bytes.check(try one.read(1_000_001, at: 2_000_001), others)
        try one.flush()
        kill(server.pid, SIGKILL)
        #expect(try server.process.wait() == 128 + SIGKILL)
        var wanted = image.bytes
        Bytes.put(ones, into: &wanted, at: 0)
        Bytes.put(others, into: &wanted, at: 2_000_001)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// One connection, or several at once, which write a block and flush, again and again: after each answered flush,
    /// the block is on the image, as this process reads it. (`syncs` tests that it is durable.) Threads that flush for
    /// others start with the least memory, in a server that has given up its rights.
    @Test(.enabled(if: Machine.isRoot, "only root can become another user"), arguments: [1, 8])
    func eachWriteIsFlushed(_ connections: Int) throws {
        let image = try Image(size: 4 << 20)
        let server = try Server(
            image, "memory=1M", "dirty-age=3600",
            options: Server.Options(nbdkit: ["-u", "nobody"], isVerbose: false))
        let part = image.bytes.count / connections
        try Threads.run(connections) { number in
            let client = try Client(server)
            let reader = open(image.path, O_RDONLY | O_CLOEXEC)
            defer { close(reader) }
            for turn in 0..<50 {
                let offset = number * part + turn * 37 % (part / 4096) * 4096
                let block = Image.bytes(0..<4096, seed: UInt64(number * 1000 + turn))
                try client.write(block, at: offset)
                try client.flush()
                var found = [UInt8](repeating: 0, count: 4096)
                #expect(pread(reader, &found, found.count, off_t(offset)) == 4096)
                try Bytes.check(found, block, "block \(offset)")
            }
        }
        #expect(try server.stop() == 0)
    }

    /// A flush really syncs the image, and so does FUA; neither is answered before. A write alone does not sync. strace
    /// shows the calls of the kernel.
    @Test(.enabled(if: Machine.canTrace, "needs strace and the permission to trace"), arguments: Pager.allCases)
    func syncs(_ pager: Pager) throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "dirty-age=3600", options: Server.Options(pager: pager))
        let client = try Client(server)
        let trace = server.scratch.path("trace")
        let strace = try Subprocess(
            ["strace", "-f", "-q", "-e", "trace=fdatasync,fsync", "-p", "\(server.pid)", "-o", trace],
            outputPath: server.scratch.path("strace"))
        try Patience.wait(seconds: 60, "strace does not attach: \(strace.output)") {
            Machine.isTraced(server.pid, by: strace.pid) ? () : nil
        }
        // A call that another thread's interrupts in the trace has two lines, the second with the result.
        func syncs() -> Int {
            ((try? Files.text(trace)) ?? "").split(separator: "\n").count { $0.contains("sync") && $0.contains(" = 0") }
        }
        try client.write([1, 2, 3], at: 5000)
        #expect(syncs() == 0)
        try client.flush()
        try Patience.wait(seconds: 10, "a flush syncs nothing") { syncs() == 1 ? () : nil }
        try client.write([1, 2, 3], at: 5000, .forced)
        try Patience.wait(seconds: 10, "FUA syncs nothing") { syncs() == 2 ? () : nil }
        try client.zero(8192, at: 8192, .forced)
        try Patience.wait(seconds: 10, "FUA of a zero syncs nothing") { syncs() == 3 ? () : nil }
        kill(strace.pid, SIGINT)
        _ = try strace.wait()
    }
}
