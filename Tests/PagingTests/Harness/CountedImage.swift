import Glibc
import Paging
import Synchronization

/// An Accessor of an image that counts the base pages that are read, accepts everything and copies next to nothing: a
/// word in each page, so that no page is zeroes.
final class CountedImage: ForgetfulImage, Sendable {
    let size: Int64
    let pagesRead = Atomic<Int>(0)

    init(size: Int64) { self.size = size }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        for piece in pieces {
            pagesRead.add(piece.iov_len / BasePage.size, ordering: .relaxed)
            for place in stride(from: 0, to: piece.iov_len, by: BasePage.size) {
                piece.iov_base.storeBytes(of: 1, toByteOffset: place, as: UInt64.self)
            }
        }
    }
}
