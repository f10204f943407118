import Glibc
import TestSupport
import Testing

/// Whatever a client of the control socket sends: each line gets one answer, and the server goes on.
@Suite struct ControlFuzzTests {
    private static let words = [
        "figures", "flush", "drop", "prefetch", "readahead", "limit", "advise", "resident", "off", "disk", "0", "4k",
        "1M",
        "8M", "16E", "-1", "99999999999999999999", "9223372036854775807", "%20", "%", "%zz", "%00", "\u{e9}", "", " ",
    ]

    /// A line: words that orders consist of, with bytes of any kind among them.
    private func line(_ random: inout SplitMix64) -> [UInt8] {
        let words = (0..<Int.random(in: 0...5, using: &random)).map { _ in Self.words.randomElement(using: &random)! }
        var bytes = Array(words.joined(separator: " ").utf8)
        for _ in 0..<(Bool.random(using: &random) ? 0 : Int.random(in: 1...4, using: &random)) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            let byte = UInt8.random(in: 0...255, using: &random)
            if byte != UInt8(ascii: "\n") { bytes.insert(byte, at: place) }
        }
        if Int.random(in: 0..<50, using: &random) == 0 { bytes += [UInt8](repeating: 0x61, count: 5000) }
        return bytes
    }

    @Test func anything() throws {
        let seed = getenv("FLEXPAGE_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let (image, scratch) = (try Image(size: 4 << 20), Scratch())
        let path = scratch.path("control")
        let server = try Server(image, "memory=8M", "control=\(path)")
        for _ in 0..<(Soak.isOn ? 2000 : 60) {
            let control = try ControlConnection(path)
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                let line = line(&random)
                // A client may go in the middle of a line.
                guard Int.random(in: 0..<30, using: &random) > 0 else {
                    try? control.send(line)
                    break
                }
                guard (try? control.send(line + [UInt8(ascii: "\n")])) != nil else { break }
                let text = "seed \(seed): \(String(decoding: line, as: UTF8.self))"
                let answer = try control.answer()
                let isDone = try #require(answer["ok"] as? Bool, "\(text)")
                if !isDone { #expect((answer["error"] as? String)?.isEmpty == false, "\(text)") }
                if line.count > 4096 {
                    #expect(!isDone && control.hasEnded(), "\(text)")
                    break
                }
            }
        }
        do { try image.checkRead(try Client(server), 4 << 20, at: 0) }
        #expect(try ControlConnection(path).ask("figures")["ok"] as? Bool == true, "seed \(seed)")
        #expect(try server.stop() == 0, "seed \(seed)")
    }

    /// Orders that a hanging disk holds up hold up nobody else, and not the end.
    @Test(.enabled(if: TroubledDisk.isAvailable, TroubledDisk.needs)) func aHangingDisk() throws {
        var disk: TroubledDisk? = try TroubledDisk(Image.bytes(0..<1 << 20))
        let (hanging, other, scratch) = (try #require(disk).path, try Image(size: 1 << 20), Scratch())
        let path = scratch.path("control")
        let server = try Server([
            "export=hanging:\(hanging)", "export=well:\(other.path)", "memory=32M", "control=\(path)", "end-time=2",
        ])
        let client = try Client(server, "hanging")
        let calls = try disk?.calls.count ?? 0
        try disk?.begin(.readsHang)
        defer { disk?.end(.readsHang) }
        var orders: [ControlConnection] = []
        for index in 0..<6 {
            orders.append(try ControlConnection(path))
            try orders[index].send(Array("prefetch hanging \(index * 64)k 4k\n".utf8))
        }
        try disk?.waitForCall("read", beyond: calls)
        let control = try ControlConnection(path)
        try Patience.wait(seconds: 60, "orders are not counted") {
            let answer = try? control.ask("flush well")
            return (answer?["error"] as? String)?.contains("6 orders are under way") == true ? () : nil
        }
        #expect(try control.ask("figures")["ok"] as? Bool == true)
        try other.checkRead(try Client(server, "well"), 1 << 20, at: 0)
        kill(server.pid, SIGTERM)
        try Patience.wait(seconds: 60, "the server does not give up: \(server.log)") {
            server.log.contains("its disk did nothing for 2 seconds (end-time=)") ? () : nil
        }
        // A request of a process that has ended is never answered by nbdfuse: only its end releases the process.
        disk = nil
        #expect(try server.process.wait() == 1)
        withExtendedLifetime(client) {}
    }
}
