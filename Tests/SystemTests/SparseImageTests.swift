import Glibc
import TestSupport
import Testing

/// Holes cost nothing.
@Suite(.serialized) struct SparseImageTests {
    private static let memory = 16 << 20
    private static let size = 15 << 40
    private static let island = 1 << 20
    private static let request = 2 << 30

    /// Islands of data all over the image, including its first and last MiB.
    private func sparseImage(_ scratch: Scratch) throws -> (path: String, islands: [Int]) {
        let path = scratch.path("disk.img")
        let inner = (1...10).map { Self.size / 11 * $0 / 4096 * 4096 }
        let islands = [0] + inner + [Self.size - Self.island]
        for offset in islands { try Files.write(Image.bytes(offset..<offset + Self.island), to: path, at: offset) }
        try Files.resize(path, to: Self.size)
        return (path, islands)
    }

    /// One request in this many is made, and all those for islands: a TiB of holes takes some seconds of processor
    /// time.
    private static let step = 10

    /// A sparse image of 15 TiB can be read, from end to end, within `memory=`. A hole is not read, and takes neither
    /// pages nor memory that grows. The islands are read, and hold what they must, and so does what lies around them.
    @Test func fifteenTebibytes() throws {
        let scratch = Scratch()
        let (path, islands) = try sparseImage(scratch)
        // nbdkit has a buffer for each thread.
        let server = try Server([path, "memory=\(Self.memory)"], Server.Options(nbdkit: ["-r", "-t", "2"]))
        let before = try server.peakResidentBytes()
        do {
            let client = try Client(server)
            for offset in stride(from: 0, to: Self.size, by: Self.request)
            where offset / Self.request % Self.step == 0
                || islands.contains(where: { $0 / Self.request == offset / Self.request })
            {
                try client.cache(min(Self.request, Self.size - offset), at: offset)
            }
            for offset in islands {
                try Bytes.check(
                    try client.read(Self.island, at: offset), Image.bytes(offset..<offset + Self.island), at: offset)
                let beside = offset == 0 ? Self.island : offset - Self.island
                try Bytes.check(
                    try client.read(Self.island, at: beside), [UInt8](repeating: 0, count: Self.island), at: beside)
            }
        }
        #expect(try server.peakResidentBytes() - before < Self.memory + (8 << 20))
        #expect(try server.stop() == 0)
        #expect(try server.counter("peak_bytes_in_use") <= Self.memory)
        #expect(try server.counter("zero_hits") > Self.size / 4096 / Self.step)
        // A fill at each end of an island, and of a hole; what is read ahead; nothing like the 15 million chunks.
        #expect(try server.counter("fills") < 1000)
    }

    /// A write into a known hole is there, whole, when another connection reads it, and on the image. There are zeroes
    /// around it.
    @Test func writesIntoAKnownHole() throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: 64 << 20)
        let server = try Server([path, "memory=4M"])
        var expected = [UInt8](repeating: 0, count: 1 << 20)
        do {
            let client = try Client(server)
            let other = try Client(server)
            try client.cache(64 << 20, at: 0)
            for place in stride(from: 1000, to: 1 << 20, by: 50_001) {
                let bytes = Image.bytes(0..<7000, seed: UInt64(place))
                let count = min(7000, (1 << 20) - place)
                try client.write(Array(bytes[..<count]), at: place)
                expected.replaceSubrange(place..<place + count, with: bytes[..<count])
            }
            try Bytes.check(try other.read(1 << 20, at: 0), expected, at: 0)
            try other.flush()
            // All of it is recycled, and read again.
            for offset in stride(from: 1 << 20, to: 64 << 20, by: 1 << 20) {
                try client.write(Image.bytes(offset..<offset + 1 << 20), at: offset)
            }
            try Bytes.check(try client.read(1 << 20, at: 0), expected, at: 0)
        }
        #expect(try server.stop() == 0)
        #expect(Array(try Files.bytes(path)[..<(1 << 20)]) == expected)
        #expect(try server.counter("zero_hits") > 0)
    }
}
