import Glibc
import Testing

/// A disk whose syncs fail, and which then forgets what was written since the last good one: what is reported, and what
/// is on it in the end.
@Suite(.serialized, .enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
struct FailingSyncTests {
    private static let failing = "syncing the image failed (Input/output error)"
    private static let working = "syncing the image works again"
    /// For the plugin's one image "… the server is restarted", for the filter's "… all clients of the image have left".
    private static let lost = "data written before it may be lost, and every flush fails until "

    private func count(_ text: String, in log: String) -> Int {
        log.split(separator: "\n").count { $0.contains(text) }
    }

    /// While syncs fail every flush and every FUA write fails, on every connection, and reads give what was written.
    /// Once syncs work again, a flush succeeds only if the disk has everything written since the last good sync, though
    /// it had forgotten that. The log has a line for the beginning and one for the end.
    @Test(arguments: ["writeback", "writethrough"], Pager.allCases)
    func aFailedSyncIsNotASuccessLater(_ cache: String, _ pager: Pager) throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20), for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600", "cache=\(cache)")
        let wanted = try work(disk, server)
        #expect(try server.stop() == 0)
        try Bytes.check(try disk.durable, wanted, "the disk")
        #expect(pager == .filter || server.log.contains("direct I/O: yes"))
        #expect(count(Self.failing, in: server.log) == 1)
        #expect(count(Self.working, in: server.log) == 1)
        // nbdkit's eval plugin has a line for each of its errors.
        #expect(pager == .filter || count(" error: ", in: server.log) == 2, "\(server.log.suffix(2000))")
    }

    /// Two clients meet syncs that fail, and then some that do not. Returns what the disk must hold then.
    private func work(_ disk: TroubledDisk, _ server: Server) throws -> [UInt8] {
        let (one, other) = (try Client(server), try Client(server))
        var wanted = Image.bytes(0..<1 << 20)
        func write(_ client: Client, _ seed: UInt64, _ count: Int, at offset: Int, _ flags: Client.Flags = []) throws {
            let bytes = Image.bytes(0..<count, seed: seed)
            Bytes.put(bytes, into: &wanted, at: offset)
            try client.write(bytes, at: offset, flags)
        }
        try write(one, 5, 200_000, at: 4096)
        try one.flush()
        try Bytes.check(try disk.durable, wanted, "the disk after a good flush")
        try disk.begin(.syncsFail)
        try write(one, 6, 100_000, at: 65_536)
        for _ in 0..<3 {
            #expect(Client.code { try one.flush() } == EIO)
            #expect(Client.code { try other.flush() } == EIO)
            let code = Client.code { try write(other, 7, 8192, at: 512 << 10, .forced) }
            #expect(code == EIO)
            try Bytes.check(try other.read(1 << 20, at: 0), wanted)
        }
        try write(other, 8, 8192, at: 768 << 10)
        #expect(count(Self.failing, in: server.log) == 1)
        #expect(count(Self.working, in: server.log) == 0)
        disk.end(.syncsFail)
        let callsBefore = try disk.calls.count
        try other.flush()
        try Bytes.check(try disk.durable, wanted, "the disk after the flush that succeeded")
        // It has forgotten them. But that is only the visible side, so check its requests as well.
        let calls = try disk.calls.dropFirst(callsBefore)
        for offset in [65_536, 512 << 10] {
            #expect(calls.contains { $0.kind == "write" && $0.offset == offset }, "\(calls)")
        }
        #expect(calls.last?.kind == "sync")
        try one.flush()
        try write(one, 9, 4096, at: 900 << 10, .forced)
        try Bytes.check(try disk.durable, wanted, "the disk after a FUA write")
        return wanted
    }

    /// A sync fails when some of what was written since the last good one is not in memory any more. From then on every
    /// flush and every FUA write fails, though the disk's syncs work again. Plain writes and reads still work. The log
    /// says so once, and the end once more. All is well with a server that is started anew.
    @Test(arguments: Pager.allCases) func whatIsLostIsNeverCalledSafe(_ pager: Pager) throws {
        let disk = try TroubledDisk(Image.bytes(0..<4 << 20), for: pager)
        let server = try disk.serve(pager, "memory=1M", "dirty-age=3600")
        try lose(disk, server)
        #expect(try server.stop() == 0)
        #expect(
            count(Self.lost, in: server.log) == 1,
            "\(server.log.split(separator: "\n").filter { $0.contains("error:") })")
        #expect(count(Self.working, in: server.log) == 0)
        let told = "data written to \(disk.label(pager)) could not be made durable and may be lost: Input/output error"
        #expect(count(told, in: server.log) == 1, "\(server.log.suffix(2000))")
        let anew = try disk.serve(pager, "memory=1M")
        do {
            let client = try Client(anew)
            let bytes = [UInt8](repeating: 3, count: 8192)
            try client.write(bytes, at: 8192, .forced)
            try client.flush()
            try Bytes.check(Array(try disk.durable[8192..<16_384]), bytes, "the disk")
        }
        #expect(try anew.stop() == 0)
    }

    /// Writes more than memory holds while syncs fail; then they work again.
    private func lose(_ disk: TroubledDisk, _ server: Server) throws {
        let (one, other) = (try Client(server), try Client(server))
        try one.flush()
        try disk.begin(.syncsFail)
        for offset in stride(from: 0, to: 3 << 20, by: 256 << 10) {
            try one.write(Image.bytes(0..<256 << 10, seed: 5), at: offset)
        }
        #expect(Client.code { try one.flush() } == EIO)
        disk.end(.syncsFail)
        let bytes = [UInt8](repeating: 7, count: 8192)
        for client in [one, other, try Client(server)] {
            #expect(Client.code { try client.flush() } == EIO)
            #expect(Client.code { try client.write(bytes, at: 4096, .forced) } == EIO)
            try client.write(bytes, at: (3 << 20) + 4096)
            #expect(Client.code { try client.flush() } == EIO)
            try Bytes.check(try client.read(8192, at: 4096), bytes)
            try Bytes.check(try client.read(8192, at: (3 << 20) + 4096), bytes)
            _ = try client.read(1 << 20, at: 1 << 20)
        }
        // The loss is not for lack of trying: what could be written is there.
        try Bytes.check(Array(try disk.durable[(3 << 20) + 4096..<(3 << 20) + 12_288]), bytes, "the disk")
    }

    /// If the last sync fails, the end reports what is lost.
    @Test(arguments: Pager.allCases) func theEndTellsWhatIsLost(_ pager: Pager) throws {
        let disk = try TroubledDisk(Image.bytes(0..<1 << 20), for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600")
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 7, count: 65_536), at: 0)
            try disk.begin(.syncsFail)
        }
        _ = try server.stop()
        let told =
            "16 pages of 4096 bytes could not be written to \(disk.label(pager)) and are lost: Input/output error"
        #expect(count(told, in: server.log) == 1, "\(server.log.suffix(2000))")
    }
}
