import Glibc

@testable import Accessors

/// Page-aligned memory, handed out in pieces as the pager does.
final class PageMemory {
    let count: Int
    private let base: UnsafeMutableRawPointer
    private let pieces: UnsafeMutableBufferPointer<iovec>

    /// - Parameters:
    ///   - count: Bytes; rounded up to a multiple of the page.
    ///   - pagesAPiece: The number of pages in the next piece.
    init(_ count: Int, fill: UInt8 = 0xEE, pagesAPiece: () -> Int = { 1 }) {
        let page = Int(ImageFile.pageSize)
        self.count = Int(ImageFile.roundedUp(Int64(count)))
        base = .allocate(byteCount: max(page, self.count), alignment: page)
        memset(base, Int32(fill), max(page, self.count))
        var made: [iovec] = []
        var position = 0
        while position < self.count {
            let length = min(self.count - position, pagesAPiece() * page)
            made.append(iovec(iov_base: base + position, iov_len: length))
            position += length
        }
        pieces = .allocate(capacity: made.count)
        _ = pieces.initialize(from: made)
    }

    convenience init(_ bytes: [UInt8], pagesAPiece: () -> Int = { 1 }) {
        self.init(bytes.count, pagesAPiece: pagesAPiece)
        bytes.withUnsafeBytes { _ = memcpy(base, $0.baseAddress ?? UnsafeRawPointer(base), bytes.count) }
    }

    deinit {
        pieces.deallocate()
        base.deallocate()
    }

    /// Valid as long as this lives.
    var all: UnsafeBufferPointer<iovec> { UnsafeBufferPointer(pieces) }
    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: count)) }
}
