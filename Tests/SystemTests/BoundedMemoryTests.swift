import Glibc
import TestSupport
import Testing

/// The promise of memory=: what serving an image takes, however large the image is.
@Suite(.serialized) struct BoundedMemoryTests {
    private static let memory = 16 << 20
    private static let imageSize = 2 << 30
    /// What there may be beside the arena: the Swift runtime, the plugin's code, thread stacks.
    private static let allowance = 24 << 20

    /// A 2 GiB image with 1 MiB of data in every eight.
    private func bigImage(_ scratch: Scratch) throws -> String {
        let path = scratch.path("disk.img")
        let piece = Image.bytes(0..<1 << 20)
        for offset in stride(from: 0, to: Self.imageSize, by: 8 << 20) { try Files.write(piece, to: path, at: offset) }
        try Files.resize(path, to: Self.imageSize)
        return path
    }

    /// Reads at random over four connections, then end to end; holes too, as if they were data.
    private func work(_ server: Server) throws {
        try Threads.run(4) { _ in
            let client = try Client(server)
            for _ in 0..<2500 { _ = try client.read(16 << 10, at: Int.random(in: 0..<(Self.imageSize - (16 << 10)))) }
        }
        let copy = try Subprocess.run(
            "nbdcopy", "--no-extents", "nbd+unix:///?socket=\(server.socket)", "null:", seconds: 300)
        guard copy.status == 0 else { throw Trouble(copy.output) }
    }

    /// The same nbdkit does the same work with its own file plugin, whose buffers for requests are nbdkit's, and ours
    /// too. The peak resident size of our process exceeds that of the other by less than memory= and the allowance. The
    /// pages and what describes them never take more than memory=.
    @Test func twoGibibytesInSixteenMebibytes() throws {
        let scratch = Scratch()
        let path = try bigImage(scratch)
        let ours = try Server([path, "memory=\(Self.memory)"])
        try work(ours)
        let oursPeak = try ours.peakResidentBytes()
        #expect(try ours.stop() == 0)
        let baseline = try Server([path], Server.Options(plugin: "file"))
        try work(baseline)
        let baselinePeak = try baseline.peakResidentBytes()
        #expect(oursPeak - baselinePeak < Self.memory + Self.allowance, "\(oursPeak), and without us \(baselinePeak)")
        #expect(try ours.counter("peak_bytes_in_use") <= Self.memory)
        #expect(try ours.counter("peak_bytes_in_use") > Self.memory / 2)
        #expect(try ours.counter("recycles") > 0)
    }
}
