import Glibc
import Paging

/// An Accessor of an image that accepts everything and allocates nothing.
final class QuietImage: Accessor, Sendable {
    let size: Int64
    let isWritable = true

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var index = 0
        while index < pieces.count {
            memset(pieces[index].iov_base, 7, pieces[index].iov_len)
            index += 1
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {}
    func trim(_ range: Range<Int64>) throws(AccessError) {}
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
