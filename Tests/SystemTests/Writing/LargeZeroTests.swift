import Glibc
import TestSupport
import Testing

/// The costs of zeroing and trimming.
@Suite struct LargeZeroTests {
    private static let size = 1 << 40
    private static let request = 2 << 30

    /// A TiB of a sparse image, with pages all over it cached and dirty, is zeroed and trimmed in requests of 2 GiB.
    /// That ends. All of it is gone then, from memory and from the image, and memory stays bounded. The cost is that of
    /// the cached pages, not of the length.
    @Test func aTebibyte() throws {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        try Files.resize(path, to: Self.size)
        let server = try Server([path, "memory=8M", "dirty-age=3600"], Server.Options(isVerbose: false))
        let client = try Client(server)
        let before = try server.peakResidentBytes()
        for isTrim in [false, true] {
            let places = stride(from: 1 << 20, to: Self.size, by: Self.size / 300)
            for place in places { try client.write([UInt8](repeating: 1, count: 4096), at: place / 4096 * 4096) }
            for offset in stride(from: 0, to: Self.size, by: Self.request) {
                if isTrim {
                    try client.trim(Self.request, at: offset)
                } else {
                    try client.zero(Self.request, at: offset)
                }
            }
            let zeroes = [UInt8](repeating: 0, count: 4096)
            for place in places { try Bytes.check(try client.read(4096, at: place / 4096 * 4096), zeroes, at: place) }
            try client.flush()
        }
        var facts = stat()
        #expect(stat(path, &facts) == 0 && facts.st_blocks < 2048, "\(facts.st_blocks) sectors are allocated")
        #expect(try server.peakResidentBytes() - before < 24 << 20)
    }
}
