import Glibc
import Paging
import Synchronization

/// An image of 4 MiB in memory, with a hole wherever it was never written. It can hold back the answer to a question
/// for holes until long after it looked them up.
final class HoleImage: Accessor, @unchecked Sendable {
    let size: Int64 = 4 << 20
    let isWritable = true
    private let memory: UnsafeMutableRawPointer
    /// Atomic, because an image may be asked for holes while it is written.
    private let written: UnsafeMutablePointer<Atomic<Bool>>
    let questions = Tally()
    /// The gate at which an answer waits, if any.
    var gate: Gate?

    init() {
        memory = .allocate(byteCount: 4 << 20, alignment: 4096)
        memset(memory, 0, 4 << 20)
        written = .allocate(capacity: 1024)
        for page in 0..<1024 { (written + page).initialize(to: Atomic(false)) }
    }

    deinit {
        memory.deallocate()
        written.deallocate()
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var position = Int(offset)
        for piece in pieces {
            memcpy(piece.iov_base, memory + position, piece.iov_len)
            position += piece.iov_len
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var position = Int(offset)
        for piece in pieces {
            memcpy(memory + position, piece.iov_base, piece.iov_len)
            for page in position / 4096..<(position + piece.iov_len) / 4096 {
                written[page].store(true, ordering: .releasing)
            }
            position += piece.iov_len
        }
    }

    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EIO) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EIO) }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        questions.add()
        let pages = Int(range.lowerBound) / 4096..<Int(range.upperBound) / 4096
        let wereHoles = pages.map { !written[$0].load(ordering: .acquiring) }
        gate?.pass()
        for (page, wasHole) in zip(pages, wereHoles) {
            let bytes = Int64(page) * 4096..<Int64(page + 1) * 4096
            guard report(Extent(bytes, wasHole ? .hole : .data)) else { return }
        }
    }
}
