import Glibc
import TestSupport
import Testing

/// A client writes sectors, of a volume whose partition begins inside a page. Nothing is read for them.
@Suite(.serialized) struct PartsTests {
    private static let size = 8 << 20
    private static let options = Server.Options()

    /// Writes at odd sectors all over a cold image go to it without a fill. They are there at once, after the server's
    /// end, and for the next server; and so are their neighbours.
    @Test func aFile() throws {
        let image = try Image(size: Self.size + 1536)
        try write(image, at: image.path)
    }

    /// The same on a device with sectors of 512 bytes.
    @Test(.enabled(if: Machine.canLoop, "needs root and a loop device")) func aDevice() throws {
        let image = try Image(size: Self.size + 1536)
        let device = try LoopDevice(image.path)
        try write(image, at: device.path)
    }

    private func write(_ image: Image, at path: String) throws {
        var wanted = image.bytes
        let server = try Server([path, "memory=16M", "dirty-age=3600", "readahead=off"], Self.options)
        try writeSectors(try Client(server), &wanted)
        #expect(try server.stop() == 0)
        #expect(try server.counter("fills") == 0 && server.counter("misses") == 0)
        #expect(try server.counter("writes") >= 64 && server.counter("failed_writes") == 0)
        try Bytes.check(try Files.bytes(path), wanted, "the image after the end")
        let next = try Server([path, "memory=16M"], Self.options)
        let client = try Client(next)
        try Bytes.check(try client.read(wanted.count, at: 0), wanted)
    }

    /// Writes, zeroes and FUA of one sector up to many pages, none of which begins or ends with a page, and the last
    /// sectors of the image.
    private func writeSectors(_ client: Client, _ wanted: inout [UInt8]) throws {
        for number in 0..<64 {
            let sectors = [1, 3, 8, 9, 64, 129][number % 6]
            let offset = number * (Self.size / 64) + 512 * (1 + number % 5)
            let new = Image.bytes(0..<sectors * 512, seed: UInt64(number) + 2)
            if number % 8 == 7 {
                try client.zero(512, at: offset)
                Bytes.zero(offset..<offset + 512, of: &wanted)
            } else {
                try client.write(new, at: offset, number % 4 == 0 ? .forced : [])
                Bytes.put(new, into: &wanted, at: offset)
            }
        }
        let end = wanted.count - 512
        let last = Image.bytes(0..<512, seed: 99)
        try client.write(last, at: end)
        Bytes.put(last, into: &wanted, at: end)
        try client.flush()
    }
}
