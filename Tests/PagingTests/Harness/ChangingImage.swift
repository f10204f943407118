import Glibc
import Paging
import Synchronization

/// An Accessor of an image that changes all at once: every byte is the number of its generation, 1 at first. It takes
/// no lock, so that it hides no race of the pager from the thread sanitizer.
final class ChangingImage: Accessor, Sendable {
    let size: Int64
    let isWritable = true
    private let generation = Atomic<UInt8>(1)
    private let known = Atomic<UInt8>(0)
    /// Called when a read has taken its bytes and has not returned: to hold it up.
    private let leaving: (@Sendable (Range<UInt64>) -> Void)?

    init(size: Int64, leaving: (@Sendable (Range<UInt64>) -> Void)? = nil) {
        self.size = size
        self.leaving = leaving
    }

    /// Another process changes the image.
    func change() { generation.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// The cache has forgotten everything older than now.
    func noteForgotten() {
        known.store(generation.load(ordering: .sequentiallyConsistent), ordering: .sequentiallyConsistent)
    }

    /// The oldest generation that a read that begins now may find.
    var forgotten: UInt8 { known.load(ordering: .sequentiallyConsistent) }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let byte = generation.load(ordering: .sequentiallyConsistent)
        for piece in pieces { memset(piece.iov_base, Int32(byte), piece.iov_len) }
        let pages = pieces.reduce(0) { $0 + UInt64($1.iov_len / 4096) }
        leaving?(UInt64(offset) / 4096..<UInt64(offset) / 4096 + pages)
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) { throw AccessError(EIO) }
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EIO) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EIO) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
