import Glibc

/// A buffer of a test, at an odd address, and one beside it for the expected bytes.
final class TestBuffer {
    private let room: UnsafeMutableRawPointer
    private let second: UnsafeMutableRawPointer
    let capacity: Int

    init(_ capacity: Int) {
        self.capacity = capacity
        room = .allocate(byteCount: capacity + 64, alignment: 64)
        second = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit {
        room.deallocate()
        second.deallocate()
    }

    /// `count` bytes with contents that no image has, `skew` bytes off an aligned address.
    func buffer(_ count: Int, skew: Int = 0) -> UnsafeMutableRawBufferPointer {
        precondition(count <= capacity && skew < 64)
        memset(room + skew, 0xA5, count)
        return UnsafeMutableRawBufferPointer(start: room + skew, count: count)
    }

    /// True if every byte of `buffer` is `byte`.
    func holds(_ buffer: UnsafeMutableRawBufferPointer, _ byte: UInt8) -> Bool {
        memset(second, Int32(byte), buffer.count)
        return buffer.count == 0 || memcmp(buffer.baseAddress!, second, buffer.count) == 0
    }

    /// True if `buffer` holds the bytes of `pattern` from `offset` on.
    func holds(_ buffer: UnsafeMutableRawBufferPointer, _ pattern: Pattern, at offset: Int64) -> Bool {
        let expected = UnsafeMutableRawBufferPointer(start: second, count: buffer.count)
        pattern.copy(to: expected, at: offset)
        return buffer.count == 0 || memcmp(buffer.baseAddress!, second, buffer.count) == 0
    }
}
