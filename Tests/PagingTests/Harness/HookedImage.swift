import Glibc
import Paging

/// An Accessor of a writable image in memory that asks its test before it does anything, so that the test can hold a
/// call up or fail it.
final class HookedImage: Accessor, @unchecked Sendable {
    enum Call: Sendable {
        case populate, writeOut, zero, trim, sync
    }

    /// Called at the beginning of each call with the base pages concerned. Its error becomes the call's.
    typealias Hook = @Sendable (Call, Range<UInt64>) -> AccessError?

    let size: Int64
    let isWritable = true
    private let memory: UnsafeMutableRawPointer
    private let hook: Hook
    /// Held while bytes are copied, if reads may go over pages that are going out. What such a read finds there is
    /// dropped, but to the thread sanitizer it is a race of this image.
    private let bytes: Guarded<Bool>?

    /// - Parameter pattern: The contents at first; bytes of 0xEE if nil.
    /// - Parameter isReadOver: Whether reads may go over pages that are going out.
    init(size: Int64, pattern: Pattern? = nil, isReadOver: Bool = false, _ hook: @escaping Hook = { _, _ in nil }) {
        self.size = size
        self.hook = hook
        bytes = isReadOver ? Guarded(true) : nil
        memory = .allocate(byteCount: Int(size), alignment: 4096)
        memset(memory, 0xEE, Int(size))
        pattern?.copy(to: UnsafeMutableRawBufferPointer(start: memory, count: Int(size)), at: 0)
    }

    deinit { memory.deallocate() }

    /// The first byte of base page `page` of the image itself. No call on it is under way.
    func byte(ofPage page: UInt64) -> UInt8 { memory.load(fromByteOffset: Int(page) * 4096, as: UInt8.self) }

    /// True if base page `page` of the image itself has the bytes of `pattern`. No call on it is under way.
    func holds(_ pattern: Pattern, _ page: UInt64) -> Bool {
        let scratch = TestBuffer(4096)
        let bytes = UnsafeMutableRawBufferPointer(start: memory + Int(page) * 4096, count: 4096)
        return scratch.holds(bytes, pattern, at: Int64(page) * 4096)
    }

    private func ask(_ call: Call, _ range: Range<Int64>) throws(AccessError) {
        let pages = UInt64(range.lowerBound) / 4096..<UInt64(range.upperBound + 4095) / 4096
        if let error = hook(call, pages) { throw error }
    }

    /// Calls `body` with each piece, its offset in the image, and how much of it lies in the image.
    private func each(
        _ call: Call, _ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64,
        _ body: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int) -> Void
    ) throws(AccessError) {
        let count = pieces.reduce(0) { $0 + $1.iov_len }
        try ask(call, offset..<min(offset + Int64(count), size))
        var position = Int(offset)
        for piece in pieces {
            let (image, count) = (memory + position, max(0, min(piece.iov_len, Int(size) - position)))
            if let bytes {
                bytes.withLock { _ in body(piece.iov_base, image, count) }
            } else {
                body(piece.iov_base, image, count)
            }
            position += piece.iov_len
        }
    }

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        precondition(pieces.areDisjoint, "each piece has memory of its own")
        try each(.populate, pieces, offset) { piece, image, count in memcpy(piece, image, count) }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try each(.writeOut, pieces, offset) { piece, image, count in memcpy(image, piece, count) }
    }

    func makeDurable() throws(AccessError) { try ask(.sync, 0..<0) }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try ask(.zero, range)
        memset(memory + Int(range.lowerBound), 0, range.count)
    }

    func trim(_ range: Range<Int64>) throws(AccessError) {
        try ask(.trim, range)
        memset(memory + Int(range.lowerBound), 0, range.count)
    }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}
