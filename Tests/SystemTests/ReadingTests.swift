import Glibc
import TestSupport
import Testing

/// Reads of every kind, against the image's bytes.
@Suite struct ReadingTests {
    /// A read at any offset and of any length gives the image's bytes. Beginnings and ends are on, before and after
    /// sectors, base pages and chunks, and random, while pages are recycled all the time.
    @Test func unaligned() throws {
        let image = try Image(size: (3 << 20) + 1234)
        let server = try Server(image, "memory=1M")
        let client = try Client(server)
        let edges = [512, 4096, 65_536, 1 << 20, 2 << 20].flatMap { [$0 - 1, $0, $0 + 1] }
        for edge in edges {
            for length in [1, 2, 511, 513, 4095, 4096, 4097, 70_001, (1 << 20) + 3] {
                try image.checkRead(client, min(length, image.bytes.count - edge), at: edge)
                try image.checkRead(client, min(length, edge), at: edge - min(length, edge))
            }
        }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let offset = Int.random(in: 0..<image.bytes.count, using: &random)
            let length = Int.random(in: 1...min(200_000, image.bytes.count - offset), using: &random)
            try image.checkRead(client, length, at: offset)
        }
    }

    /// One request may be much larger than the memory: 32 MiB, and the maximum of 64 MiB, with memory=4M.
    @Test func requestsLargerThanMemory() throws {
        let image = try Image(size: 72 << 20)
        let server = try Server(image, "memory=4M")
        do {
            let client = try Client(server)
            try image.checkRead(client, 32 << 20, at: 0)
            try image.checkRead(client, 32 << 20, at: 12_345)
            try image.checkRead(client, 64 << 20, at: 4_321)
        }
        #expect(try server.stop() == 0)
        #expect(try server.counter("peak_bytes_in_use") <= 4 << 20)
    }

    /// Sixteen connections at once get the right bytes, with too little memory for all of them.
    @Test func sixteenConnections() throws {
        let image = try Image(size: 8 << 20)
        let server = try Server(image, "memory=1M")
        try Threads.run(16) { number in
            let client = try Client(server)
            var random = SystemRandomNumberGenerator()
            for _ in 0..<200 {
                let offset = Int.random(in: 0..<image.bytes.count, using: &random)
                let length = Int.random(in: 1...min(number % 4 == 0 ? 1 << 20 : 9000, image.bytes.count - offset))
                try image.checkRead(client, length, at: offset)
            }
        }
        #expect(try server.stop() == 0)
        #expect(try server.counter("peak_bytes_in_use") <= 1 << 20)
    }

    /// NBD_CMD_CACHE brings pages in: the reads that follow find all of them resident.
    @Test func cache() throws {
        let image = try Image(size: 2 << 20)
        let server = try Server(image, "memory=8M")
        do {
            let client = try Client(server)
            try client.cache(1_000_001, at: 4_095)
            for offset in stride(from: 4_095, to: 1_000_000, by: 50_000) {
                try image.checkRead(client, 4096, at: offset)
            }
        }
        #expect(try server.stop() == 0)
        // From page 0 to that of the last byte: all missed once, by the cache request.
        #expect(try server.counter("misses") == (4_095 + 1_000_000) / 4096 + 1)
        #expect(try server.counter("hits") > 0)
    }

    /// Another client copies a whole image exactly, with several connections.
    @Test func nbdcopy() throws {
        let image = try Image(size: (24 << 20) + 77)
        let server = try Server(image, "memory=4M")
        let copy = image.scratch.path("copy")
        let result = try Subprocess.run("nbdcopy", "nbd+unix:///?socket=\(server.socket)", copy)
        #expect(result.status == 0, "\(result.output)")
        #expect(try Subprocess.run("cmp", image.path, copy).status == 0)
    }

    /// Both ways, past and through the page cache, serve the same bytes, and the log names the way.
    @Test(arguments: ["auto", "on", "off"])
    func direct(_ how: String) throws {
        let image = try Image(size: 1_234_567)
        let server = try Server(image, "direct=\(how)")
        try image.checkRead(try Client(server), image.bytes.count, at: 0)
        #expect(try server.stop() == 0)
        #expect(server.log.contains("direct I/O: \(how == "off" ? "no" : "yes")"))
    }

    /// If the filesystem refuses O_DIRECT, the image is served all the same, and a warning says so, once, without -v.
    @Test(.enabled(if: Machine.canMount("ramfs"), "only root can mount a ramfs"))
    func fallBack() throws {
        let mounted = try Mount("ramfs")
        let image = try Image(in: mounted.scratch, size: 1_234_567)
        let server = try Server([image.path], Server.Options(isVerbose: false))
        try image.checkRead(try Client(server), image.bytes.count, at: 0)
        #expect(try server.stop() == 0)
        #expect(server.log.hasPrefix("nbdkit: flexpage: warning: file=\(image.path): direct I/O is not supported here"))
        #expect(server.log.components(of: "nbdkit") == 1)
    }
}

extension String {
    /// The number of lines that contain `text`.
    fileprivate func components(of text: String) -> Int {
        split(separator: "\n").count { $0.contains(text) }
    }
}
