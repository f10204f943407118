import Glibc
import Paging
import Synchronization

/// An image without contents that counts accesses. A read stores one word in each base page, so that the page does not
/// look like zeroes, and leaves the rest alone. A simulation needs only numbers and sizes of accesses.
final class SimulatedImage: ForgetfulImage {
    let size: Int64
    private let reads = Atomic<Int>(0)
    private let bytesRead = Atomic<Int>(0)
    private let writes = Atomic<Int>(0)
    private let bytesWritten = Atomic<Int>(0)

    init(size: Int64) { self.size = size }

    /// The counts so far.
    var traffic: Traffic {
        Traffic(
            reads: reads.load(ordering: .relaxed), bytesRead: bytesRead.load(ordering: .relaxed),
            writes: writes.load(ordering: .relaxed), bytesWritten: bytesWritten.load(ordering: .relaxed))
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        reads.add(1, ordering: .relaxed)
        bytesRead.add(SimulatedImage.bytes(in: pieces), ordering: .relaxed)
        for piece in pieces {
            for place in stride(from: 0, to: piece.iov_len, by: BasePage.size) {
                piece.iov_base.storeBytes(of: 1, toByteOffset: place, as: UInt64.self)
            }
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        writes.add(1, ordering: .relaxed)
        bytesWritten.add(SimulatedImage.bytes(in: pieces), ordering: .relaxed)
    }

    private static func bytes(in pieces: UnsafeBufferPointer<iovec>) -> Int {
        pieces.reduce(0) { $0 + $1.iov_len }
    }
}
