import Accessors
import Foundation
import Interface
import SystemPackage
import Testing

@testable import Adapter

/// What the plugin does about the last will beside having it executed.
@Suite struct LastWillTests {
    private let path = "/var/tmp/flexpage-will.\(UUID().uuidString)"

    private func withServer(gate: flexpage_gate?, _ body: (OpaquePointer) throws -> Void) throws {
        try Data(count: 1 << 20).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = flexpage_server_create(nil, { _ in }, gate)
        defer { flexpage_server_destroy(server) }
        var answer = flexpage_message()
        for (key, value) in [("file", path), ("memory", "2M"), ("dirty-age", "3600"), ("last-will", "7")] {
            #expect(flexpage_server_configure(server, key, value, &answer))
        }
        #expect(flexpage_server_open_image(server, &answer))
        #expect(flexpage_server_begin(server, &answer))
        try body(server)
        #expect(flexpage_server_end(server, &answer))
        free(answer.note)
    }

    /// Through the C declarations, dirty pages reach the image without a flush. Once serving has ended the last will
    /// does nothing more, and no harm.
    @Test func bringsOut() throws {
        var outcome = flexpage_will()
        try withServer(gate: nil) { server in
            #expect(flexpage_server_last_will(server) == 7)
            var answer = flexpage_message()
            let client = try #require(flexpage_client_open(server, "", false, &answer))
            #expect(flexpage_client_write(client, [UInt8](repeating: 9, count: 10_000), 10_000, 5_000, false) == 0)
            flexpage_server_bring_out(server, &outcome) { _ in }
            #expect(outcome.brought_out == 3 && outcome.failed + outcome.passed_over + outcome.broken == 0)
            let found = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(found[5_000..<15_000].allSatisfy { $0 == 9 } && found[4_999] == 0 && found[15_000] == 0)
            flexpage_client_close(client)
            var note = flexpage_message()
            #expect(flexpage_server_end(server, &note))
            free(note.note)
            flexpage_server_bring_out(server, &outcome) { _ in }
            #expect(outcome.brought_out == 0)
        }
    }

    private nonisolated(unsafe) static var calls = 0
    private nonisolated(unsafe) static var watched = ""

    /// The gate is asked after everything has been written out, and before the image is released. Behind a gate that
    /// does not open the image stays locked.
    @Test func theGateIsBeforeTheUnlocking() throws {
        Self.watched = path
        let gate: flexpage_gate = {
            LastWillTests.calls += 1
            let other = try? ImageFile(path: FilePath(LastWillTests.watched))
            #expect(throws: ImageError.self, "the image is locked") { try other?.beginWriting() }
        }
        try withServer(gate: gate) { server in
            var answer = flexpage_message()
            let client = try #require(flexpage_client_open(server, "", false, &answer))
            #expect(flexpage_client_write(client, [UInt8](repeating: 9, count: 4096), 4096, 0, false) == 0)
            flexpage_client_close(client)
            #expect(Self.calls == 1)
            let other = try ImageFile(path: FilePath(path))
            try other.beginWriting()
            other.endWriting()
        }
    }
}
