import Glibc
import TestSupport
import Testing

/// The promise of flush-time=, on a slow disk: how much may be dirty follows what the disk does.
@Suite(.serialized, .enabled(if: ThrottleGroup.isAvailable, "\(ThrottleGroup.needs)"))
struct FlushTimeTests {
    /// The figures of a trial: with a flush-time of 2 s in all runs, of 10 s in long ones.
    struct Size {
        let flushTime: Int
        let memory: Int
        let image: Int
        let offered: Int
        /// Bytes a second.
        let rate: Int

        static let short = Size(flushTime: 2, memory: 48 << 20, image: 96 << 20, offered: 72 << 20, rate: 12 << 20)
        static let long = Size(flushTime: 10, memory: 1 << 30, image: 1 << 30, offered: 1 << 30, rate: 24 << 20)
        static var trials: [Size] { Soak.isOn ? [short, long] : [short] }
    }

    /// A server whose disk writes `size.rate`, on an image that has its space on the disk already. Its parts end in
    /// this order.
    private final class SlowServer {
        let server: Server
        let group: ThrottleGroup
        let scratch: Scratch

        init(_ size: Size) throws {
            scratch = Scratch()
            let path = scratch.path("disk.img")
            let piece = [UInt8](repeating: 1, count: 1 << 20)
            for offset in stride(from: 0, to: size.image, by: piece.count) {
                try Files.write(piece, to: path, at: offset)
            }
            sync()
            group = try ThrottleGroup(near: path)
            try group.limit(bytesPerSecond: size.rate)
            server = try Server([path, "memory=\(size.memory)", "dirty=90%", "flush-time=\(size.flushTime)"])
            try group.take(server.pid)
        }

        /// Ends it, when no client is there any more, at the disk's full speed.
        func end() throws {
            try group.limit(bytesPerSecond: 1 << 30)
            #expect(try server.stop() == 0)
        }
    }

    /// The seconds that a flush takes.
    private func flush(_ client: Client) throws -> Double {
        let before = Self.seconds
        try client.flush()
        return Self.seconds - before
    }

    private static var seconds: Double {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }

    /// Writes to the image from its beginning on, round and round, until it has written `bytes` or `seconds` have
    /// passed.
    private func offer(_ client: Client, _ size: Size, bytes: Int = .max, seconds: Double = .infinity) throws {
        let piece = [UInt8](repeating: 2, count: 1 << 20)
        let end = Self.seconds + seconds
        var offset = 0
        while offset < bytes, Self.seconds < end {
            try client.write(piece, at: offset % size.image)
            offset += piece.count
        }
    }

    /// A client of a fresh server writes as fast as it can. A flush then ends within one and a half times flush-time=,
    /// because no more is dirty than that takes (the limit of dirty= alone would allow much more). The same holds again
    /// three times flush-time= after the disk has fallen to a tenth, while the client went on writing as fast as it
    /// could.
    @Test(arguments: Size.trials) func flushesAreInTime(size: Size) throws {
        let slow = try SlowServer(size)
        do {
            let client = try Client(slow.server)
            try offer(client, size, bytes: size.offered)
            let fresh = try flush(client)
            #expect(fresh <= 1.5 * Double(size.flushTime), "\(fresh) s on a fresh server")
            try offer(client, size, bytes: size.offered / 4)
            try slow.group.limit(bytesPerSecond: size.rate / 10)
            try offer(client, size, seconds: 3 * Double(size.flushTime))
            let cut = try flush(client)
            #expect(cut <= 1.5 * Double(size.flushTime), "\(cut) s after the disk has become slow")
        }
        try slow.end()
    }
}
