import Glibc
import Paging
import Synchronization

/// An Accessor of an image in memory that a fork shares with its parent. The kernel makes changes of an image even if
/// the process dies meanwhile, so the parent does not look while one is being made.
final class SteppedImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = true
    private let memory: SharedMemory
    private let changes: UnsafeMutablePointer<Atomic<Int>>

    /// - Parameter bytes: The contents at first.
    init(_ bytes: [UInt8]) {
        size = Int64(bytes.count)
        memory = SharedMemory(count: bytes.count + BasePage.size)
        changes = (memory.base + bytes.count).assumingMemoryBound(to: Atomic<Int>.self)
        bytes.withUnsafeBytes { memory.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }

    /// A number that changes with each change of the image. It is odd while one is being made.
    var changeNumber: Int { changes.pointee.load(ordering: .sequentiallyConsistent) }

    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: memory.base, count: Int(size))) }

    private func change(_ body: () -> Void) {
        changes.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        body()
        changes.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var position = Int(offset)
        for piece in pieces {
            memcpy(piece.iov_base, memory.base + position, piece.iov_len)
            position += piece.iov_len
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        change {
            var position = Int(offset)
            for piece in pieces {
                memcpy(memory.base + position, piece.iov_base, piece.iov_len)
                position += piece.iov_len
            }
        }
    }

    func makeDurable() throws(AccessError) {}

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { try trim(range) }

    func trim(_ range: Range<Int64>) throws(AccessError) {
        change { memset(memory.base + Int(range.lowerBound), 0, range.count) }
    }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
