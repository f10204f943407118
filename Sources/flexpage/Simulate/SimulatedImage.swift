import Glibc
import Paging
import Synchronization

/// An image without bytes, that counts how it is reached. What it populates is left as it was: a simulation asks how
/// often and how much, never what.
final class SimulatedImage: Accessor {
    let size: Int64
    let isWritable = true
    private let reads = Atomic<Int>(0)
    private let bytesRead = Atomic<Int>(0)
    private let writes = Atomic<Int>(0)
    private let bytesWritten = Atomic<Int>(0)

    init(size: Int64) { self.size = size }

    /// What has been counted so far.
    var traffic: Traffic {
        Traffic(
            reads: reads.load(ordering: .relaxed), bytesRead: bytesRead.load(ordering: .relaxed),
            writes: writes.load(ordering: .relaxed), bytesWritten: bytesWritten.load(ordering: .relaxed))
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        reads.add(1, ordering: .relaxed)
        bytesRead.add(SimulatedImage.bytes(in: pieces), ordering: .relaxed)
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        writes.add(1, ordering: .relaxed)
        bytesWritten.add(SimulatedImage.bytes(in: pieces), ordering: .relaxed)
    }

    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }

    private static func bytes(in pieces: UnsafeBufferPointer<iovec>) -> Int {
        pieces.reduce(0) { $0 + $1.iov_len }
    }
}
