import Glibc
import TestSupport
import Testing

/// Block status, and copies made with its help, of an export with data that has not been written out.
@Suite struct DirtyExtentTests {
    private static let size = 16 << 20
    private static let page = 4096

    /// A sparse image: data at 2 to 4 MiB and at 8 to 9 MiB.
    private func sparse() throws -> (path: String, scratch: Scratch, bytes: [UInt8]) {
        let scratch = Scratch()
        let path = scratch.path("disk.img")
        var bytes = [UInt8](repeating: 0, count: Self.size)
        for place in [2 << 20, 3 << 20, 8 << 20] {
            let data = Image.bytes(0..<1 << 20, seed: UInt64(place))
            try Files.write(data, to: path, at: place)
            Bytes.put(data, into: &bytes, at: place)
        }
        try Files.resize(path, to: Self.size)
        return (path, scratch, bytes)
    }

    /// Writes, zeroes and trims over data and holes, none of it flushed, at edges of pages and beside them; and the
    /// same to `bytes`. Returns the expected status of each page: 0 data, 3 hole.
    private func change(_ client: Client, _ bytes: inout [UInt8]) throws -> [UInt32] {
        var status = [UInt32](repeating: 3, count: Self.size / Self.page)
        for page in [512..<1024, 2048..<2304].joined() { status[page] = 0 }
        // Into holes, into data, over both ends of data; whole pages and parts of them.
        for (count, place) in [
            (1, 0), (8192, 65_536), (5000, 100_000), (100_000, (2 << 20) - 50_000), (4096, 3 << 20),
            (600_000, (9 << 20) - 300_001), (1, Self.size - 1),
        ] {
            let new = [UInt8](repeating: 0x5a, count: count)
            try client.write(new, at: place)
            Bytes.put(new, into: &bytes, at: place)
            for page in place / Self.page...(place + count - 1) / Self.page { status[page] = 0 }
        }
        // Over dirty data, over clean data, over holes. Edges inside a page stay data.
        for (isTrim, range) in [
            (true, 65_536..<69_632), (false, (2 << 20) + 4096..<(2 << 20) + 131_072),
            (true, 3 << 20..<(3 << 20) + 262_144),
            (false, 12 << 20..<13 << 20), (true, (8 << 20) + 131_072..<(8 << 20) + 196_608),
        ] {
            if isTrim { try client.trim(range.count, at: range.lowerBound) }
            if !isTrim { try client.zero(range.count, at: range.lowerBound) }
            Bytes.zero(range, of: &bytes)
            for page in range.lowerBound / Self.page..<range.upperBound / Self.page { status[page] = 3 }
        }
        return status
    }

    /// The status of each page, as the server reports it in one or more answers.
    private func told(_ client: Client) throws -> [UInt32] {
        var pages: [UInt32] = []
        while pages.count < Self.size / Self.page {
            let offset = pages.count * Self.page
            for extent in try client.blockStatus(Self.size - offset, at: offset) {
                guard extent.length % Self.page == 0 else { throw Trouble("an extent of \(extent.length) bytes") }
                pages += [UInt32](repeating: extent.flags, count: extent.length / Self.page)
            }
        }
        return pages
    }

    /// The status is exact, page for page, while data is dirty in memory alone, and again after a flush.
    @Test func statusIsExact() throws {
        var (path, scratch, bytes) = try sparse()
        defer { withExtendedLifetime(scratch) {} }
        let server = try Server([path, "memory=32M", "dirty-age=3600"])
        let client = try Client(server)
        let wanted = try change(client, &bytes)
        for when in ["dirty", "flushed"] {
            let found = try told(client)
            let wrong = wanted.indices.filter { found[$0] != wanted[$0] }
            #expect(wrong.isEmpty, "\(when): page \(wrong.first ?? 0) is reported as \(found[wrong.first ?? 0])")
            try client.flush()
        }
        try Bytes.check(try Files.bytes(path), bytes, "the image")
    }

    /// Copies of a live export with dirty data, by nbdcopy and qemu-img convert, are equal to what the client wrote,
    /// with much memory and little.
    @Test(.enabled(if: Subprocess.exists("qemu-img"), "qemu-img is part of qemu-utils"), arguments: ["1M", "32M"])
    func copiesAreExact(_ memory: String) throws {
        var (path, scratch, bytes) = try sparse()
        let server = try Server([path, "memory=\(memory)", "dirty-age=3600"])
        let client = try Client(server)
        _ = try change(client, &bytes)
        let uri = "nbd+unix:///?socket=\(server.socket)"
        let copies = [
            ["nbdcopy", uri, scratch.path("nbdcopy")],
            ["qemu-img", "convert", "-f", "raw", "-O", "raw", uri, scratch.path("qemu")],
        ]
        for copy in copies {
            let result = try Subprocess.run(copy)
            #expect(result.status == 0, "\(result.output)")
            try Bytes.check(try Files.bytes(copy.last!), bytes, copy[0])
        }
        withExtendedLifetime(client) {}
    }
}
