import Foundation
import Interface
import Testing

/// The calls of Interface.h as Glue makes them, without nbdkit.
@Suite struct InterfaceTests {
    /// The whole life of a server and a client through the C declarations: bytes, facts, extents, errors.
    @Test func wholeLife() throws {
        let path = "/var/tmp/flexpage-interface.\(UUID().uuidString)"
        let bytes = (0..<100_003).map { UInt8(truncatingIfNeeded: $0 * 7) }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = flexpage_server_create(nil, { _ in }, nil)
        defer { flexpage_server_destroy(server) }
        var answer = flexpage_message()
        #expect(flexpage_server_configure(server, "file", path, &answer))
        #expect(flexpage_server_configure(server, "memory", "2M", &answer))
        #expect(flexpage_server_check(server, &answer))
        #expect(flexpage_server_open_image(server, &answer))
        #expect(taken(&answer.note)?.contains("100003 bytes") == true)
        #expect(flexpage_server_begin(server, &answer))
        #expect(taken(&answer.note) != nil)
        let client = try #require(flexpage_client_open(server, "", false, &answer))
        try useClient(client, bytes)
        flexpage_client_close(client)
        #expect(flexpage_server_end(server, &answer))
        #expect(taken(&answer.note)?.hasPrefix("counters: hits=") == true)
        #expect(answer.error == nil)
    }

    private func useClient(_ client: OpaquePointer, _ bytes: [UInt8]) throws {
        var facts = flexpage_export_info()
        flexpage_client_export_info(client, &facts)
        #expect(facts.size == 100_003)
        #expect(facts.can_write)
        var read = [UInt8](repeating: 0, count: 50_001)
        #expect(flexpage_client_read(client, &read, 50_001, 50_002) == 0)
        #expect(read == Array(bytes[50_002...]))
        #expect(flexpage_client_read(client, &read, 2, 100_002) == EINVAL)
        #expect(flexpage_client_read(client, &read, 2, UInt64.max - 1) == EINVAL)
        #expect(flexpage_client_read(client, &read, 2, UInt64(Int64.max)) == EINVAL)
        #expect(flexpage_client_cache(client, 100_003, 0) == 0)
        var length: UInt64 = 0
        let taker: flexpage_extent_taker = { context, _, count, _ in
            context.assumingMemoryBound(to: UInt64.self).pointee += count
            return true
        }
        #expect(flexpage_client_extents(client, 100_000, 1, taker, &length) == 0)
        #expect(length == 100_000)
    }

    /// A wrong value is refused in words and has no effect. An end without a beginning does no harm.
    @Test func wrongValue() {
        let server = flexpage_server_create(nil, { _ in }, nil)
        defer { flexpage_server_destroy(server) }
        var answer = flexpage_message()
        #expect(!flexpage_server_configure(server, "memory", "much", &answer))
        #expect(taken(&answer.error)?.hasPrefix("memory=much: ") == true)
        #expect(!flexpage_server_check(server, &answer))
        #expect(taken(&answer.error)?.hasPrefix("file= is missing") == true)
        #expect(flexpage_client_open(server, "", false, &answer) == nil)
        #expect(taken(&answer.error) != nil)
        #expect(flexpage_server_end(server, &answer))
    }

    /// The text, freed.
    private func taken(_ text: inout UnsafeMutablePointer<CChar>?) -> String? {
        defer {
            free(text)
            text = nil
        }
        return text.map { String(cString: $0) }
    }
}
