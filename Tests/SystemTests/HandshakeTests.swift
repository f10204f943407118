import TestSupport
import Testing

/// What a client learns of the export while it connects.
@Suite struct HandshakeTests {
    /// A read-only export offers what the pager has, and nothing that writes: the flags of the handshake, and the block
    /// sizes.
    @Test func whatIsOffered() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, options: Server.Options(nbdkit: ["-r"]))
        let client = try Client(server)
        #expect(client.isReadOnly)
        #expect(client.canMultiConnect)
        #expect(client.canCache)
        #expect(client.canTellAllocation)
        #expect(!client.canFlush)
        #expect(!client.canTrim)
        #expect(!client.canZero)
        #expect(!client.canForceUnitAccess)
        #expect(client.minimumBlock == 1)
        #expect(client.preferredBlock == 4096)
        #expect(client.maximumBlock == 64 << 20)
    }

    /// An image of any size has its size in the handshake, and is read to its last byte and not beyond: every odd size
    /// around sectors, base pages and the largest flexpage.
    @Test(arguments: [0, 1, 511, 512, 513, 4095, 4096, 4097, 65_535, 1_048_575, 1_048_577, 3_145_729])
    func anySize(_ size: Int) throws {
        let image = try Image(size: size)
        let server = try Server(image, "memory=1M")
        let client = try Client(server, isStrict: false)
        #expect(client.size == size)
        guard size > 0 else { return }
        try image.checkRead(client, size, at: 0)
        try image.checkRead(client, 1, at: size - 1)
        let tail = min(size, 700)
        try image.checkRead(client, tail, at: size - tail)
        #expect(throws: Client.Failure.self) { try client.read(2, at: size - 1) }
    }

    /// The export's list names only the default export, and any name gets the image.
    @Test func exportNames() throws {
        let image = try Image(size: 8192)
        let server = try Server(image)
        let list = try Subprocess.run("nbdinfo", "--list", "nbd+unix:///?socket=\(server.socket)")
        #expect(list.status == 0)
        #expect(list.output.contains("export=\"\":"))
        let named = try Subprocess.run("nbdinfo", "--size", "nbd+unix:///any?socket=\(server.socket)")
        #expect(named.output == "8192\n")
    }

    /// A server ends with status 0 on SIGTERM and reports its counters. They are right: the second read of a page is a
    /// hit.
    @Test func counters() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "memory=2M")
        do {
            let client = try Client(server)
            try image.checkRead(client, 4096, at: 8192)
            try image.checkRead(client, 4096, at: 8192)
        }
        // nbdkit calls no close for a client that it has not seen leave before it ends.
        try Patience.wait(seconds: 60, "no client has left: \(server.log)") {
            server.log.contains("flexpage: client disconnecting") ? () : nil
        }
        #expect(try server.stop() == 0)
        #expect(try server.counter("hits") >= 1)
        #expect(try server.counter("misses") >= 1)
        #expect(try server.counter("fills") == 1)
        #expect(try server.counter("failed_fills") == 0)
        #expect(try server.counter("recycles") == 0)
        #expect(try server.counter("bytes_in_use") <= 2 << 20)
        #expect(try server.counter("peak_bytes_in_use") <= 2 << 20)
        #expect(server.log.contains("flexpage: client connected"))
    }

    /// Pages outlive the client that they were read for: the next client hits them.
    @Test func pagesOutliveClients() throws {
        let image = try Image(size: 1 << 20)
        let server = try Server(image, "memory=4M")
        for _ in 0..<3 { try image.checkRead(try Client(server), 4096, at: 0) }
        #expect(try server.stop() == 0)
        #expect(try server.counter("fills") == 1)
    }
}
