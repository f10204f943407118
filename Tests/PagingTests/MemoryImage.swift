import Glibc
import Paging
import Synchronization

/// An Accessor of an image in memory that every byte's value can be told of by its offset; it delays, reorders and fails
/// as it is told.
final class MemoryImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = false
    /// Base pages whose reading fails with EIO.
    let badPages: Set<Int64>
    /// Microseconds that a read takes at most; drawn anew each time, so reads end in another order than they began.
    let mostDelay: UInt32
    let reads = Atomic<Int>(0)

    init(size: Int64, badPages: Set<Int64> = [], mostDelay: UInt32 = 0) {
        self.size = size
        self.badPages = badPages
        self.mostDelay = mostDelay
    }

    /// The byte of the image at `offset`.
    static func byte(at offset: Int64) -> UInt8 {
        let word = UInt64(bitPattern: offset >> 3) &* 0x9E37_79B9_7F4A_7C15
        return UInt8(truncatingIfNeeded: word >> (UInt64(offset & 7) * 8)) ^ UInt8(truncatingIfNeeded: word >> 60)
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        reads.add(1, ordering: .relaxed)
        if mostDelay > 0 { usleep(UInt32.random(in: 0...mostDelay)) }
        var position = offset
        for piece in pieces {
            let bytes = piece.iov_base!.assumingMemoryBound(to: UInt8.self)
            for index in 0..<piece.iov_len {
                if index & 4095 == 0, badPages.contains(position >> 12) { throw AccessError(EIO) }
                bytes[index] = position < size ? MemoryImage.byte(at: position) : 0
                position += 1
            }
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        throw AccessError(EROFS)
    }
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EROFS) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EROFS) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
