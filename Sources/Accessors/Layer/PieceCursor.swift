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
        advance(bytes.count) { run, position in
            run.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + run.count]))
        }
    }

    /// Copies bytes out of the pieces, and advances.
    mutating func give(_ bytes: UnsafeMutableRawBufferPointer) {
        advance(bytes.count) { run, position in
            UnsafeMutableRawBufferPointer(rebasing: bytes[position...]).copyMemory(from: UnsafeRawBufferPointer(run))
        }
    }

    /// Makes everything that is left zeroes.
    mutating func zeroRest() {
        advance(bytesLeft) { run, _ in memset(run.baseAddress!, 0, run.count) }
    }

    /// Advances by `count` bytes, which there must be, and calls `body` with each run of memory that they are in, and
    /// how many of them come before it.
    private mutating func advance(_ count: Int, _ body: (UnsafeMutableRawBufferPointer, Int) -> Void) {
        var done = 0
        while done < count {
            let part = UnsafeMutableRawBufferPointer(rebasing: run[..<min(run.count, count - done)])
            body(part, done)
            done += part.count
            advance(part.count)
        }
    }

    private mutating func skipEmpty() {
        while index < pieces.count, offset == pieces[index].iov_len { (index, offset) = (index + 1, 0) }
    }
}
