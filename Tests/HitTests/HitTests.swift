import CAllocations
import CReferences
import Foundation
import Interface
import Testing

/// A hit through the calls of Interface.h, as Glue makes them for nbdkit. From its handle to the copied bytes nothing
/// is allocated (invariant 8), and nothing retained or released. PagingTests has the same for the pager alone.
@Suite(.enabled(if: !_isDebugAssertConfiguration(), "not optimised: Scripts/test optimised runs it"))
struct HitTests {
    private static let size = 1 << 20
    private static let maxRequest = 9000

    /// A hit allocates nothing. Opening a client, which is counted first, does. With a control socket, hits are sampled
    /// for its advice.
    @Test(.enabled(if: allocations_are_counted() != 0, "a sanitizer has its own malloc"), arguments: [false, true])
    func nothingIsAllocated(isSampled: Bool) throws {
        let (opening, hits) = try counts(allocations_of_this_thread, isSampled)
        #expect(opening > 0)
        #expect(hits == 0)
    }

    /// A hit retains and releases nothing. Opening a client, which is counted first, does.
    @Test(.enabled(if: references_are_counted() != 0, "not counted under a sanitizer"), arguments: [false, true])
    func nothingIsRetained(isSampled: Bool) throws {
        let (opening, hits) = try counts(references_of_this_thread, isSampled)
        #expect(opening > 0)
        #expect(hits == 0)
    }

    /// What `counter` counts while a client is opened, and during thousands of its hits.
    private func counts(_ counter: () -> UInt, _ isSampled: Bool) throws -> (opening: UInt, hits: UInt) {
        let path = "/var/tmp/flexpage-hits.\(UUID().uuidString)"
        try Data((0..<HitTests.size).map { UInt8(truncatingIfNeeded: $0 >> 12 | 1) })
            .write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = flexpage_server_create(nil, { _ in }, nil)
        defer { flexpage_server_destroy(server) }
        try succeeds { flexpage_server_configure(server, "file", path, $0) }
        try succeeds { flexpage_server_configure(server, "memory", "4M", $0) }
        if isSampled { try succeeds { flexpage_server_configure(server, "control", "\(path).control", $0) } }
        try succeeds { flexpage_server_check(server, $0) }
        try succeeds { flexpage_server_open_image(server, $0) }
        try succeeds { flexpage_server_begin(server, $0) }
        var client: OpaquePointer?
        let before = counter()
        try succeeds {
            client = flexpage_client_open(server, "", true, $0)
            return client != nil
        }
        let opening = counter() - before
        #expect(flexpage_client_cache(client!, UInt32(HitTests.size), 0) == 0)
        let hits = hits(of: client!, counter)
        flexpage_client_close(client!)
        try succeeds { flexpage_server_end(server, $0) }
        return (opening, hits)
    }

    /// The same during reads, of a byte to three pages, and cache requests.
    private func hits(of client: OpaquePointer, _ counter: () -> UInt) -> UInt {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: HitTests.maxRequest, alignment: 4096)
        defer { buffer.deallocate() }
        var failures: Int32 = 0
        let before = counter()
        for hit in 0..<5000 {
            let offset = UInt64(hit &* 4099 % (HitTests.size - HitTests.maxRequest))
            failures |= flexpage_client_read(client, buffer, UInt32(hit % HitTests.maxRequest + 1), offset)
            failures |= flexpage_client_cache(client, UInt32(HitTests.maxRequest), offset)
        }
        let count = counter() - before
        #expect(failures == 0)
        return count
    }

    private func succeeds(_ call: (UnsafeMutablePointer<flexpage_message>) -> Bool) throws {
        var answer = flexpage_message()
        defer {
            free(answer.note)
            free(answer.error)
        }
        try #require(call(&answer))
    }
}
