import Glibc
import Paging

/// A vectored read or write under way: pieces of memory, the position in the image, and how much is done.
///
/// The kernel may do less than it was asked for, and takes 1024 pieces a call. The pieces belong to the caller and may
/// not be changed. So a transfer that stopped inside a piece continues with the rest of that piece alone, described on
/// the stack. Whole pieces then follow in full calls again. Nothing is allocated.
///
/// Cost: one call for each 1024 pieces, and two more for each short transfer; O(pieces) beside that.
struct Transfer {
    /// One system call: pieces, their count, bytes from the beginning of the image. Returns bytes, or a negative errno.
    typealias Call = (_ pieces: UnsafePointer<iovec>, _ count: Int32, _ offset: Int64) -> Int

    /// The maximum of pieces in a call: IOV_MAX.
    static let maxPieces = 1024

    /// Where in the image the first piece belongs, in bytes.
    let offset: Int64
    /// Bytes in all pieces.
    let total: Int64
    /// Bytes transferred.
    private(set) var done: Int64 = 0

    private let pieces: UnsafeBufferPointer<iovec>
    /// The piece that `done` lies in, and how far into it.
    private var index = 0
    private var doneInPiece = 0

    init(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) {
        precondition(offset >= 0, "an offset before the image")
        var total: Int64 = 0
        for piece in pieces { total += Int64(piece.iov_len) }
        self.pieces = pieces
        self.offset = offset
        self.total = total
    }

    /// Transfers until `goal` bytes are done.
    ///
    /// - Parameters:
    ///   - limit: Bytes to ask for. More than `goal` if the last block must be asked for whole.
    ///   - alignment: A call begins at a multiple of it. What a short transfer did beyond a multiple is done again.
    /// - Returns: False if the kernel does no more: at the end of the file, or when it did less than `alignment`.
    /// - Throws: The error of the call. EINTR is tried again.
    mutating func run(
        to goal: Int64, asking limit: Int64, alignment: Int64, _ call: Call
    ) throws(AccessError) -> Bool {
        precondition(goal <= limit && limit <= total, "more than the pieces hold")
        while done < goal {
            let bytes = step(limit: limit, call)
            if bytes == -Int(EINTR) { continue }
            guard bytes >= 0 else { throw AccessError(failing: bytes) }
            precondition(bytes <= limit - done, "the kernel did more than it was asked for")
            var reached = done + Int64(bytes)
            if reached < goal { reached -= reached % alignment }
            guard reached > done else { return false }
            advance(by: Int(reached - done))
        }
        return true
    }

    /// Zeroes the pieces' memory from `start` bytes on.
    func zeroMemory(from start: Int64) {
        var position: Int64 = 0
        for piece in pieces {
            let end = position + Int64(piece.iov_len)
            if end > start, let base = piece.iov_base {
                let skipped = Int(max(0, start - position))
                memset(base + skipped, 0, piece.iov_len - skipped)
            }
            position = end
        }
    }

    /// One call, for as much as one call can do of the bytes up to `limit`.
    private mutating func step(limit: Int64, _ call: Call) -> Int {
        while doneInPiece == pieces[index].iov_len { nextPiece() }
        let count = wholePieces(limit: limit)
        if count > 0 { return call(pieces.baseAddress! + index, Int32(count), offset + done) }
        var rest = iovec()
        rest.iov_base = pieces[index].iov_base + doneInPiece
        rest.iov_len = min(pieces[index].iov_len - doneInPiece, Int(limit - done))
        return call(&rest, 1, offset + done)
    }

    /// The number of pieces from here on that can go whole without passing `limit`.
    private func wholePieces(limit: Int64) -> Int {
        guard doneInPiece == 0 else { return 0 }
        var left = limit - done
        var count = 0
        while count < Self.maxPieces, index + count < pieces.count {
            left -= Int64(pieces[index + count].iov_len)
            if left < 0 { break }
            count += 1
        }
        return count
    }

    private mutating func advance(by bytes: Int) {
        done += Int64(bytes)
        doneInPiece += bytes
        while index < pieces.count, doneInPiece >= pieces[index].iov_len, doneInPiece > 0 {
            let excess = doneInPiece - pieces[index].iov_len
            nextPiece()
            doneInPiece = excess
        }
    }

    private mutating func nextPiece() {
        index += 1
        doneInPiece = 0
    }
}
