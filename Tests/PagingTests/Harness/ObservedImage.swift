import Glibc
import Paging

/// An image in memory, of zeroes at first, that notes each call to write, and fails or holds up the pages that a test
/// names. Its notes are under a lock: what it has noted of a write is true of the bytes too.
final class ObservedImage: Accessor, @unchecked Sendable {
    /// One call to write: its runs of base pages, and for each the number of pieces of memory that it was in.
    struct Call {
        let runs: [Range<UInt64>]
        let pieces: [Int]
    }

    private struct Notes {
        var calls: [Call] = []
        var written: [UInt64] = []
        var errors: [UInt64: AccessError] = [:]
        var gates: [UInt64: Gate] = [:]
        var syncs = 0
    }

    let size: Int64
    let isWritable = true
    private let memory: UnsafeMutableRawPointer
    private let notes = Guarded(Notes())

    init(size: Int64) {
        self.size = size
        memory = .allocate(byteCount: Int(size), alignment: 4096)
        memset(memory, 0, Int(size))
    }

    deinit { memory.deallocate() }

    // MARK: - What a test says

    /// Any write of one of `pages` fails, until `heal`.
    func fail(_ pages: UInt64..., with code: Int32 = EIO) {
        notes.withLock { for page in pages { $0.errors[page] = AccessError(code) } }
    }

    /// From now on nothing fails, or this page does not.
    func heal(_ page: UInt64? = nil) {
        notes.withLock { if let page { $0.errors[page] = nil } else { $0.errors = [:] } }
    }

    /// A call that writes `page` is held up at `gate` before it does anything.
    func hold(_ page: UInt64, at gate: Gate) { notes.withLock { $0.gates[page] = gate } }

    // MARK: - What it has noted

    /// The calls to write so far, in the order in which they began.
    var calls: [Call] { notes.withLock { $0.calls } }
    /// The base pages written so far, each as often as it has been written.
    var written: [UInt64] { notes.withLock { $0.written } }
    /// Calls to make things durable so far.
    var syncs: Int { notes.withLock { $0.syncs } }

    /// True if every byte of `page` is `byte`. Nothing writes the page meanwhile.
    func holds(_ byte: UInt8, _ page: UInt64) -> Bool {
        notes.withLock { _ in
            let begin = memory + Int(page) * 4096
            return begin.load(as: UInt8.self) == byte && memcmp(begin, begin + 1, 4095) == 0
        }
    }

    // MARK: - The Accessor

    func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>) {
        let call = Call(runs: writes.map { pages($0.pieces, $0.offset) }, pieces: writes.map { $0.pieces.count })
        let gates = notes.withLock { notes in
            notes.calls.append(call)
            return notes.gates.filter { gate in call.runs.contains { $0.contains(gate.key) } }
        }
        for gate in gates.values { gate.pass() }
        for index in writes.indices {
            do throws(AccessError) {
                try writeOut(writes[index].pieces, at: writes[index].offset)
            } catch {
                writes[index].error = error
            }
        }
    }

    func writeOut(_ buffers: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let pages = pages(buffers, offset)
        let errors = notes.withLock { $0.errors }
        if let bad = pages.first(where: { errors[$0] != nil }) { throw errors[bad]! }
        // One write at a time, as on a disk: a last will writes pages that are on their way out as well.
        notes.withLock { notes in
            var position = Int(offset)
            for piece in buffers {
                memcpy(memory + position, piece.iov_base, piece.iov_len)
                position += piece.iov_len
            }
            notes.written += Array(pages)
        }
    }

    private func pages(_ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) -> Range<UInt64> {
        UInt64(offset) / 4096..<(UInt64(offset) + pieces.reduce(0) { $0 + UInt64($1.iov_len) }) / 4096
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        var position = Int(offset)
        for piece in pieces {
            memcpy(piece.iov_base, memory + position, piece.iov_len)
            position += piece.iov_len
        }
    }

    func makeDurable() throws(AccessError) { notes.withLock { $0.syncs += 1 } }
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) { throw AccessError(EIO) }
    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EIO) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
