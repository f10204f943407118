import Glibc
import TestSupport

/// What the tests of writing put into a sector: a value that only one write has. Its form shows if a sector is torn,
/// moved or mixed from two writes.
enum Sector {
    static let size = 512
    /// The value of a sector that is all zeroes.
    static let zeroes: UInt32 = 0
    /// The value of a sector of a fresh image that is not zeroes.
    static let original: UInt32 = 1

    /// Makes `memory` hold what sector `number` holds with `value`.
    static func store(_ value: UInt32, sector number: Int, to memory: UnsafeMutableRawPointer) {
        guard value != zeroes else {
            memset(memory, 0, size)
            return
        }
        let stamp = UInt64(value) << 32 | UInt64(number)
        memset(memory, Int32(truncatingIfNeeded: SplitMix64.mix(stamp) & 0xFF), size)
        memory.storeBytes(of: stamp, as: UInt64.self)
        memory.storeBytes(of: stamp, toByteOffset: size / 2, as: UInt64.self)
        memory.storeBytes(of: stamp, toByteOffset: size - 8, as: UInt64.self)
    }

    /// The value that `memory` holds as sector `number`, or nil if no write can have left it so.
    static func load(_ memory: UnsafeRawPointer, sector number: Int) -> UInt32? {
        let stamp = memory.loadUnaligned(as: UInt64.self)
        guard stamp == 0 || stamp & 0xFFFF_FFFF == UInt64(number) else { return nil }
        let value = UInt32(stamp >> 32)
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { expected in
            store(value, sector: number, to: expected.baseAddress!)
            return memcmp(expected.baseAddress!, memory, size) == 0 ? value : nil
        }
    }
}
