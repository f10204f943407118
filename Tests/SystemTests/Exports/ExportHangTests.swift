import Glibc
import TestSupport
import Testing

/// Clients of an image whose disk hangs: they connect as long as nothing has to be read, and the server ends.
@Suite(.serialized, .enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
struct ExportHangTests {
    private static let size = 1 << 20

    /// A disk that can be released while other threads run.
    private final class Holder: @unchecked Sendable {
        var disk: TroubledDisk?
        let path: String

        init(_ bytes: [UInt8]) throws {
            let disk = try TroubledDisk(bytes)
            self.disk = disk
            path = disk.path
        }
    }

    private func server(_ path: String, _ folder: ImageFolder, _ parameters: String...) throws -> Server {
        try Server(
            ["export=bad:\(path)", "export=good:\(folder.path("good"))", "memory=8M", "readahead=off"] + parameters)
    }

    /// While the disk of an image hangs, further clients of that image connect, and read what is in memory. They may
    /// also come to the other image, and leave either.
    @Test(arguments: [TroubledDisk.Fault.readsHang, .writesHang]) func connectsGoOn(_ fault: TroubledDisk.Fault) throws
    {
        let image = Image.bytes(0..<Self.size)
        let disk = try TroubledDisk(image)
        let folder = try ImageFolder(["good"])
        let server = try server(disk.path, folder, "dirty-age=3600")
        do {
            let (first, busy) = (try Client(server, "bad"), try Client(server, "bad"))
            try Bytes.check(try first.read(64 << 10, at: 0), Array(image[..<(64 << 10)]))
            try busy.write([7], at: 100)
            try disk.begin(fault)
            let calls = try disk.calls.count
            try Threads.run(2) { number in
                if number == 0 {
                    // One of these hangs until the disk goes on.
                    try Bytes.check(try busy.read(4096, at: 512 << 10), Array(image[512 << 10..<516 << 10]))
                    return try busy.flush()
                }
                defer { disk.end(fault) }
                try disk.waitForCall(fault == .readsHang ? "read" : "write", beyond: calls)
                for _ in 0..<3 {
                    let next = try Client(server, "bad")
                    #expect(next.size == Self.size && !next.isReadOnly)
                    #expect(try next.read(2, at: 100) == [7, image[101]])
                    // With a good-bye it would wait for the flush.
                    next.vanish()
                    try folder.check(server, "good")
                }
            }
        }
        #expect(try server.stop() == 0)
    }

    /// A client waits for a disk that hangs, as it connects or for a read, and there is nothing to be written. SIGTERM
    /// ends the server after end-time=, and the log says which image it was. Until then the other image is served.
    @Test(arguments: ["connect", "read"]) func theEnd(_ waiting: String) throws {
        let holder = try Holder(Image.bytes(0..<Self.size))
        let folder = try ImageFolder(["good"])
        let server = try server(holder.path, folder, "end-time=2")
        let reader = waiting == "read" ? try Client(server, "bad") : nil
        let calls = try holder.disk?.calls.count ?? 0
        try holder.disk?.begin(.readsHang)
        try Threads.run(2) { number in
            if number == 0 {
                if let reader { _ = try? reader.read(4096, at: 512 << 10) } else { _ = try? Client(server, "bad") }
                return
            }
            // A request of a process that has ended is never answered by nbdfuse: only its end releases the process.
            defer { holder.disk = nil }
            try holder.disk?.waitForCall("read", beyond: calls)
            try folder.check(server, "good")
            kill(server.pid, SIGTERM)
            let end = ": its disk did nothing for 2 seconds (end-time=)"
            let wanted =
                waiting == "read"
                ? "requests to export \"bad\": \(holder.path) are not done\(end)"
                : "export \"bad\": a client cannot connect\(end)"
            try Patience.wait(seconds: 60, "the log does not say \(wanted): \(server.log)") {
                server.log.contains(wanted) ? () : nil
            }
        }
        #expect(try server.process.wait() == 1)
    }
}
