import TestSupport
import Testing

/// Block status against the holes of the image.
@Suite struct ExtentTests {
    private static let mebibyte = 1 << 20

    /// An image of 16 MiB: data at 2 to 3 MiB and at 8 MiB to 8 MiB + 64 KiB, holes elsewhere.
    private func sparse() throws -> (image: String, scratch: Scratch) {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.write(Image.bytes(0..<Self.mebibyte), to: path, at: 2 * Self.mebibyte)
        try Files.write(Image.bytes(0..<65_536), to: path, at: 8 * Self.mebibyte)
        try Files.resize(path, to: 16 * Self.mebibyte)
        return (path, scratch)
    }

    /// The expected status of the whole image. A hole reads as zeroes.
    private static let whole: [(length: Int, flags: UInt32)] = [
        (2 * mebibyte, 3), (mebibyte, 0), (5 * mebibyte, 3), (65_536, 0), (8 * mebibyte - 65_536, 3),
    ]

    /// Holes are reported as holes and data as data, over the whole image, and again when its pages are resident.
    @Test func holes() throws {
        let (path, scratch) = try sparse()
        defer { withExtendedLifetime(scratch) {} }
        let server = try Server([path])
        let client = try Client(server)
        for _ in 0..<2 {
            let found = try client.blockStatus(16 * Self.mebibyte, at: 0)
            #expect(found.elementsEqual(Self.whole, by: ==), "\(found)")
            _ = try client.read(16 * Self.mebibyte, at: 0)
        }
    }

    /// The answer begins at the offset of the request and stays inside it. If one extent is asked for, one is reported.
    @Test func clipping() throws {
        let (path, scratch) = try sparse()
        defer { withExtendedLifetime(scratch) {} }
        let server = try Server([path])
        let client = try Client(server)
        let inside = try client.blockStatus(Self.mebibyte, at: 3 * Self.mebibyte / 2)
        #expect(inside.elementsEqual([(524_288, 3), (524_288, 0)], by: ==), "\(inside)")
        let first = try client.blockStatus(4096, at: 2 * Self.mebibyte + 4096, onlyOne: true)
        #expect(first.elementsEqual([(4096, 0)], by: ==), "\(first)")
        let one = try client.blockStatus(16 * Self.mebibyte, at: 0, onlyOne: true)
        #expect(one.count == 1 && one[0].flags == 3, "\(one)")
    }

    /// A sparse copy made with the help of extents is exact.
    @Test func sparseCopy() throws {
        let (path, scratch) = try sparse()
        let server = try Server([path, "memory=1M"])
        let copy = scratch.path("copy")
        let result = try Subprocess.run("nbdcopy", "nbd+unix:///?socket=\(server.socket)", copy)
        #expect(result.status == 0, "\(result.output)")
        #expect(try Subprocess.run("cmp", path, copy).status == 0)
    }
}
