import Glibc
import TestSupport
import Testing

/// A disk that neither does its requests nor fails them: clients that need nothing of it go on.
@Suite(.serialized, .enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs))
struct HangingDiskTests {
    private static let size = 2 << 20

    /// Runs `hanging` on a thread of its own until the disk goes on, and `body` while it hangs.
    private func whileHanging(
        _ fault: TroubledDisk.Fault, _ disk: TroubledDisk, _ hanging: () throws -> Void, _ body: () throws -> Void
    ) throws {
        try disk.begin(fault)
        let calls = try disk.calls.count
        try Threads.run(2) { number in
            if number == 0 { return try hanging() }
            defer { disk.end(fault) }
            try disk.waitForCall(fault == .readsHang ? "read" : "write", beyond: calls)
            try body()
        }
    }

    /// While a read of the image hangs other clients read and write what is in memory, write what needs no reading, and
    /// come and go. The reader that waited gets its bytes in the end.
    @Test(arguments: Pager.allCases) func aReadHangs(_ pager: Pager) throws {
        let image = Image.bytes(0..<Self.size)
        let disk = try TroubledDisk(image, for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600", "readahead=off")
        var wanted = image
        do {
            let (waiting, busy) = (try Client(server), try Client(server))
            _ = try busy.read(256 << 10, at: 0)
            var found: [UInt8] = []
            try whileHanging(.readsHang, disk) {
                found = try waiting.read(65_536, at: 1 << 20)
            } _: {
                try Bytes.check(try busy.read(256 << 10, at: 0), Array(image[..<(256 << 10)]))
                let new = [UInt8](repeating: 7, count: 8192)
                for offset in [5000, 128 << 10] {
                    try busy.write(new, at: offset)
                    Bytes.put(new, into: &wanted, at: offset)
                }
                try busy.write(new, at: 512 << 10, .forced)
                Bytes.put(new, into: &wanted, at: 512 << 10)
                let next = try Client(server)
                try Bytes.check(try next.read(128 << 10, at: 4096), Array(wanted[4096..<4096 + (128 << 10)]))
            }
            try Bytes.check(found, Array(image[1 << 20..<(1 << 20) + 65_536]))
        }
        #expect(try server.stop() == 0)
        try Bytes.check(try disk.durable, wanted, "the disk")
    }

    /// While writes to the image hang, and a flush with them, other clients read all of it, even what is going out, and
    /// write what is not going out. The flush succeeds in the end.
    @Test(arguments: Pager.allCases) func aWriteHangs(_ pager: Pager) throws {
        let image = Image.bytes(0..<Self.size)
        let disk = try TroubledDisk(image, for: pager)
        let server = try disk.serve(pager, "memory=8M", "dirty-age=3600", "readahead=off")
        var wanted = image
        do {
            let (waiting, busy) = (try Client(server), try Client(server))
            let new = [UInt8](repeating: 7, count: 64 << 10)
            try waiting.write(new, at: 128 << 10)
            Bytes.put(new, into: &wanted, at: 128 << 10)
            try whileHanging(.writesHang, disk) {
                try waiting.flush()
                try Bytes.check(Array(try disk.durable[128 << 10..<192 << 10]), new, "the disk after the flush")
            } _: {
                try Bytes.check(try busy.read(512 << 10, at: 0), Array(wanted[..<(512 << 10)]))
                try Bytes.check(try busy.read(64 << 10, at: 1 << 20), Array(wanted[1 << 20..<(1 << 20) + (64 << 10)]))
                let newer = [UInt8](repeating: 9, count: 10_000)
                for offset in [0, 300_000, 1_500_000] {
                    try busy.write(newer, at: offset)
                    Bytes.put(newer, into: &wanted, at: offset)
                }
                let next = try Client(server)
                try Bytes.check(try next.read(Self.size, at: 0), wanted)
                // With a good-bye it would wait for what it has written.
                next.vanish()
            }
        }
        #expect(try server.stop() == 0)
        try Bytes.check(try disk.durable, wanted, "the disk")
    }

    /// A flush of the control socket goes on when its client has gone, and counts as an order as long as it does. So
    /// clients that come again and again take no more threads than six orders have.
    @Test func ordersThatAreLeft() throws {
        let (disk, scratch) = (try TroubledDisk(Image.bytes(0..<Self.size)), Scratch())
        let path = scratch.path("control")
        let server = try disk.serve(.plugin, "memory=8M", "dirty-age=3600", "control=\(path)")
        do {
            let client = try Client(server)
            try client.write([UInt8](repeating: 7, count: 8192), at: 0)
            try disk.begin(.writesHang)
            defer { disk.end(.writesHang) }
            let calls = try disk.calls.count
            for number in 0..<6 {
                try ControlConnection(path).send(Array("flush\n".utf8))
                if number == 0 { try disk.waitForCall("write", beyond: calls) }
            }
            // The server may not have read the last order yet.
            let refusal = try Patience.wait(seconds: 60, "a seventh order is let in") { () -> String? in
                let error = (try? ControlConnection(path).ask("drop disk"))?["error"] as? String
                return error?.contains("6 orders are under way already") == true ? error : nil
            }
            #expect(refusal.contains("wait for a disk"))
            #expect(try ControlConnection(path).ask("figures")["ok"] as? Bool == true)
            disk.end(.writesHang)
            try Patience.wait(seconds: 60, "no order is let in again") {
                (try? ControlConnection(path).ask("drop disk"))?["ok"] as? Bool == true ? () : nil
            }
        }
        #expect(try server.stop() == 0)
    }
}
