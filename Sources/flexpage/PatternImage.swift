import Glibc
import Paging

/// An image of `size` bytes, all alike, that costs nothing to reach: what is left is the pager.
final class PatternImage: Accessor, Sendable {
    let size: Int64
    let isWritable = true

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        for piece in pieces { memset(piece.iov_base, 1, piece.iov_len) }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
