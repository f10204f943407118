import Glibc

/// A position in the pieces of memory of a request.
struct PieceCursor {
    private let pieces: UnsafeBufferPointer<iovec>
    private var index = 0
    /// Bytes into the piece.
    private var offset = 0

    init(_ pieces: UnsafeBufferPointer<iovec>) {
        self.pieces = pieces
        skipEmpty()
    }

    /// What is left of the piece; empty at the end.
    var run: UnsafeMutableRawBufferPointer {
        guard index < pieces.count else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        return UnsafeMutableRawBufferPointer(
            start: pieces[index].iov_base + offset, count: pieces[index].iov_len - offset)
    }

    /// Whether nothing comes after this piece.
    var isInLastPiece: Bool { index + 1 >= pieces.count }

    /// Bytes left in all pieces. O(pieces).
    var bytesLeft: Int { index < pieces.count ? pieces[index...].reduce(0) { $0 + $1.iov_len } - offset : 0 }

    /// - Precondition: `count` is not more than what is left of the piece.
    mutating func advance(_ count: Int) {
        precondition(count <= run.count, "there is no such place in the piece")
        offset += count
        skipEmpty()
    }

    /// Copies bytes into the pieces, and advances.
    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let count = min(run.count, rest.count)
            run.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            advance(count)
        }
    }

    /// Copies bytes out of the pieces, and advances.
    mutating func give(_ bytes: UnsafeMutableRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let count = min(run.count, rest.count)
            rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: run[..<count]))
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
            advance(count)
        }
    }

    /// Makes everything that is left zeroes.
    mutating func zeroRest() {
        while !run.isEmpty {
            memset(run.baseAddress!, 0, run.count)
            advance(run.count)
        }
    }

    private mutating func skipEmpty() {
        while index < pieces.count, offset == pieces[index].iov_len { (index, offset) = (index + 1, 0) }
    }
}
