import Glibc
import Paging

/// An Accessor of an image that accepts everything and allocates nothing.
final class NullImage: ForgetfulImage, Sendable {
    let size: Int64

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var index = 0
        while index < pieces.count {
            memset(pieces[index].iov_base, 7, pieces[index].iov_len)
            index += 1
        }
    }
}
