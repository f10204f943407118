import Glibc
import TestSupport
import Testing

/// Restarts of servers whose disk hangs, or whose syncs fail.
@Suite(
    .serialized, .enabled(if: StateFolder.isAvailable, Comment(rawValue: StateFolder.needs)),
    .enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
struct RestartTroubleTests {
    private static let size = 1 << 20

    /// A server that may wait for a disk at its start.
    private final class Starting {
        let process: Subprocess
        private let scratch = Scratch()
        var socket: String { scratch.path("socket") }
        var log: String { process.output }
        var isServing: Bool { access(scratch.path("pid"), F_OK) == 0 }

        init(_ parameters: [String]) throws {
            process = try Subprocess(
                ["nbdkit", "-f", "-U", scratch.path("socket"), "-P", scratch.path("pid"), "-v"]
                    + ["-D", "flexpage.verbose=1", try Plugin.built()] + parameters,
                outputPath: scratch.path("log"))
        }

        func waitUntilServing() throws {
            try Patience.wait(seconds: 60, "it does not serve: \(log.suffix(2000))") { isServing ? () : nil }
        }

        func stop() throws -> Int32 {
            kill(process.pid, SIGTERM)
            return try process.wait()
        }
    }

    /// Starts a server while reads of the disk hang. They go on before the server is released, whatever happens: its
    /// process does not end before.
    private func whileReadsHang(_ disk: TroubledDisk, _ parameters: [String], _ body: (Starting) throws -> Void) throws
    {
        try disk.begin(.readsHang)
        let server = try Starting(parameters)
        defer { withExtendedLifetime(server) { disk.end(.readsHang) } }
        try body(server)
    }

    /// The disk of an image hangs at the start, and nothing is owed there: the other images are served.
    @Test func aCleanDiskHangs() throws {
        let disk = try TroubledDisk(Image.bytes(0..<Self.size))
        let folder = try ImageFolder(["good"])
        let state = StateFolder()
        let good = "export=good:\(folder.path("good"))"
        let first = try Server([good, "export=bad:\(disk.path)", state.option, "memory=8M"])
        try folder.check(first, "good")
        _ = try Client(first, "bad").read(Self.size, at: 0)
        #expect(try first.stop() == 0)
        try whileReadsHang(disk, [good, state.option, "memory=8M"]) { second in
            try second.waitUntilServing()
            let read = try Client(socket: second.socket, export: "good").read(folder.size, at: 0)
            try Bytes.check(read, folder.bytes("good"))
            #expect(try second.stop() == 0)
            #expect(second.log.contains(" fills=0 "), "\(second.log.suffix(2000))")
        }
    }

    /// Data is owed there: the start waits, and says once for what. Then the data goes out.
    @Test(arguments: ["file=", "dir="]) func anOwedDiskHangs(_ key: String) throws {
        let disk = try TroubledDisk(Image.bytes(0..<Self.size))
        let folder = try ImageFolder(["good"])
        let state = StateFolder()
        let parameters = [state.option, "memory=8M", "dirty-age=3600"]
        let first = try Server(["export=bad:\(disk.path)"] + parameters)
        let client = try Client(first, "bad")
        let bytes = [UInt8](repeating: 7, count: 8192)
        try client.write(bytes, at: 65536)
        try Restart.kill(first, beside: client)
        let source = key == "file=" ? "file=\(disk.path)" : "dir=\(folder.directory)"
        try whileReadsHang(disk, [source] + parameters) { second in
            let line = "waiting for the disk of \(disk.path)"
            try Patience.wait(seconds: 60, "nothing says what is waited for: \(second.log)") {
                second.log.contains(line) ? () : nil
            }
            #expect(!second.isServing, "it cannot know what the image is")
            disk.end(.readsHang)
            try second.waitUntilServing()
            #expect(try second.stop() == 0)
            #expect(second.log.split(separator: "\n").count { $0.contains(line) } == 1, "\(second.log)")
        }
        #expect(Array(try disk.durable[65536..<73728]) == bytes)
    }

    /// A sync fails, the disk forgets what it was given, and the server is killed. All of it is still in memory: what
    /// the next server calls durable is on the disk.
    @Test func aFailedSync() throws {
        let disk = try TroubledDisk(Image.bytes(0..<4 << 20))
        let state = StateFolder()
        let written = Image.bytes(0..<1 << 20, seed: 5)
        try fail(disk, state, "memory=8M", written, isTold: true, "syncing the image failed")
        let second = try Server([disk.path, state.option, "memory=8M"])
        try Client(second).flush()
        try Bytes.check(Array(try disk.durable[..<written.count]), written, "the disk after the flush")
    }

    /// Not all of it is in memory any more, so that it is lost. The next server calls nothing durable, whether a client
    /// had been told or not.
    @Test(arguments: [true, false]) func aFailedSyncThatLoses(isTold: Bool) throws {
        let disk = try TroubledDisk(Image.bytes(0..<4 << 20))
        let state = StateFolder()
        try fail(disk, state, "memory=1M", Image.bytes(0..<3 << 20, seed: 5), isTold: isTold, "may be lost")
        for _ in 0..<2 {
            let next = try Server([disk.path, state.option, "memory=1M", "dirty-age=3600"])
            let client = try Client(next)
            for _ in 0..<2 { #expect(Client.code { try client.flush() } == EIO) }
            #expect(Client.code { try client.write([1], at: 0, .forced) } == EIO)
            try Restart.kill(next, beside: client)
        }
    }

    /// A server whose syncs fail while a client writes `bytes`. It is killed when its log has `line`, and the client
    /// knows of the failure by then, or has not asked. After that syncs work again.
    private func fail(
        _ disk: TroubledDisk, _ state: StateFolder, _ memory: String, _ bytes: [UInt8], isTold: Bool, _ line: String
    ) throws {
        let server = try Server([disk.path, state.option, memory, "dirty-age=3600"])
        let client = try Client(server)
        try client.flush()
        try disk.begin(.syncsFail)
        for offset in stride(from: 0, to: bytes.count, by: 256 << 10) {
            try client.write(Array(bytes[offset..<offset + (256 << 10)]), at: offset)
        }
        if isTold { #expect(Client.code { try client.flush() } == EIO) }
        try Patience.wait(seconds: 60, "the log has no line: \(server.log.suffix(2000))") {
            server.log.contains(line) ? () : nil
        }
        try Restart.kill(server, beside: client)
        disk.end(.syncsFail)
    }
}
