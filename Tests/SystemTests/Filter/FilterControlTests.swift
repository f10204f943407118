import TestSupport
import Testing

/// The control socket of a filter.
@Suite struct FilterControlTests {
    /// The first client says how the layer is opened, so an order that comes before it opens nothing. Otherwise the
    /// order's name would be the layer's, and all clients would only read.
    @Test func ordersBeforeTheFirstClient() throws {
        let (image, scratch) = (try Image(size: 1 << 20), Scratch())
        let server = try Server(
            [image.path, "memory=8M", "control=\(scratch.path("control"))"],
            Server.Options(isVerbose: false, pager: .filter, plugin: "file"))
        let control = try ControlConnection(scratch.path("control"))
        for order in ["prefetch disk 0 1M", "flush disk", "readahead disk off", "resident disk", "drop disk"] {
            let answer = try control.ask(order)
            #expect(answer["ok"] as? Bool == false)
            #expect((answer["error"] as? String)?.hasPrefix("no client has connected yet") == true, "\(answer)")
        }
        for order in ["flush", "drop", "figures"] { #expect(try control.ask(order)["ok"] as? Bool == true) }
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 5, count: 4096), at: 8192)
            #expect(try control.ask("prefetch disk 0 1M")["prefetched_bytes"] as? Int == 1 << 20)
            #expect(try control.ask("flush disk")["ok"] as? Bool == true)
            #expect(try Files.bytes(image.path)[8192..<12288].allSatisfy { $0 == 5 })
        }
        #expect(try server.stop() == 0)
        #expect(server.log.isEmpty, "\(server.log)")
    }
}
