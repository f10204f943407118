import Glibc
import Paging

/// An image of `size` equal bytes. Reading it costs almost nothing, so a measurement shows the cost of the pager.
final class PatternImage: ForgetfulImage {
    let size: Int64

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        for piece in pieces { memset(piece.iov_base, 1, piece.iov_len) }
    }
}
