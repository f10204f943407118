import Glibc
import Paging
import Synchronization

/// A writable image in memory, zeroes at first, whose writes and syncs fail on demand, and which calls its test before
/// each read and write.
final class ToldImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = true
    /// The kinds of call that can fail.
    enum Call: CaseIterable {
        case write, sync
    }

    /// The errno values that writes and syncs fail with, or 0.
    private let writeError = Atomic<Int32>(0)
    private let syncError = Atomic<Int32>(0)
    /// Calls of `makeDurable` that succeeded.
    let goodSyncs = Atomic<Int>(0)
    /// Calls of either kind that failed.
    let failures = Atomic<Int>(0)
    /// Called at the beginning of each write, and of each read, with its base pages: to hold it up.
    private let writing: (@Sendable (Range<UInt64>) -> Void)?
    private let reading: (@Sendable (Range<UInt64>) -> Void)?
    private let memory: UnsafeMutableRawPointer

    /// - Parameter size: Whole base pages.
    init(
        size: Int64, writing: (@Sendable (Range<UInt64>) -> Void)? = nil,
        reading: (@Sendable (Range<UInt64>) -> Void)? = nil
    ) {
        self.size = size
        self.writing = writing
        self.reading = reading
        memory = .allocate(byteCount: Int(size), alignment: 4096)
        memset(memory, 0, Int(size))
    }

    deinit { memory.deallocate() }

    /// The first byte of a base page. Nobody uses the page meanwhile.
    func byte(ofPage page: Int) -> UInt8 { memory.load(fromByteOffset: page * 4096, as: UInt8.self) }

    /// From now on calls of this kind fail with `code`, or with 0 succeed.
    func fail(_ call: Call, with code: Int32) {
        switch call {
        case .write: writeError.store(code, ordering: .releasing)
        case .sync: syncError.store(code, ordering: .releasing)
        }
    }

    private func check(_ error: borrowing Atomic<Int32>) throws(AccessError) {
        let code = error.load(ordering: .acquiring)
        guard code != 0 else { return }
        failures.add(1, ordering: .relaxed)
        throw AccessError(code)
    }

    private func pages(_ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) -> Range<UInt64> {
        let bytes = pieces.reduce(0) { $0 + $1.iov_len }
        return UInt64(offset) / 4096..<(UInt64(offset) + UInt64(bytes)) / 4096
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        reading?(pages(pieces, offset))
        var position = Int(offset)
        for piece in pieces {
            memcpy(piece.iov_base, memory + position, piece.iov_len)
            position += piece.iov_len
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        writing?(pages(pieces, offset))
        try check(writeError)
        var position = Int(offset)
        for piece in pieces {
            memcpy(memory + position, piece.iov_base, piece.iov_len)
            position += piece.iov_len
        }
    }

    func makeDurable() throws(AccessError) {
        try check(syncError)
        goodSyncs.add(1, ordering: .releasing)
    }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        memset(memory + Int(range.lowerBound), 0, range.count)
    }

    func trim(_ range: Range<Int64>) throws(AccessError) { try zero(range, mayTrim: true, onlyIfFast: true) }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
