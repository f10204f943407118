import Glibc

@testable import Paging

/// A writable image in memory that is written in parts. It notes each call, and asks its test before it copies a byte,
/// so that the test can hold a call up or fail it. Its bytes are 0xEE at first, and zeroes in holes.
final class PartsImage: Accessor, @unchecked Sendable {
    enum Call: Hashable {
        case read(Range<Int64>)
        case parts(Range<Int64>)
        case writeOut(Range<Int64>)
        case zero(Range<Int64>)
        case sync
        /// The answer to a question for holes is known, and not given yet.
        case answer
    }

    /// Called with each call, before it does anything. Its error becomes the call's.
    typealias Hook = @Sendable (Call) -> AccessError?

    private struct Contents {
        var bytes: [UInt8]
        var holes: Set<UInt64>
        var calls: [Call] = []
        var errors: [Call: AccessError] = [:]
    }

    let size: Int64
    let isWritable = true
    let partUnit: Int?
    private let contents: Guarded<Contents>
    private let hook: Hook

    init(
        size: Int64 = 1 << 20, unit: Int? = 512, holes: Set<UInt64> = [], _ hook: @escaping Hook = { _ in nil }
    ) {
        self.size = size
        partUnit = unit
        self.hook = hook
        var bytes = [UInt8](repeating: 0xEE, count: Int(size))
        for hole in holes {
            for place in Int(hole) * 4096..<min(Int(hole + 1) * 4096, Int(size)) { bytes[place] = 0 }
        }
        contents = Guarded(Contents(bytes: bytes, holes: holes))
    }

    // MARK: - What a test says and sees

    /// From now on each such call fails with `error`, or with nil succeeds.
    func fail(_ call: Call, _ error: AccessError? = AccessError(EIO)) { contents.withLock { $0.errors[call] = error } }

    /// The calls so far, but for questions for holes.
    var calls: [Call] { contents.withLock { $0.calls } }

    /// The bytes of the image itself.
    func bytes(_ range: Range<Int64>) -> [UInt8] {
        contents.withLock { Array($0.bytes[Int(range.lowerBound)..<Int(range.upperBound)]) }
    }

    private func begin(_ call: Call) throws(AccessError) {
        let error = contents.withLock { contents in
            if call != .answer { contents.calls.append(call) }
            return contents.errors[call]
        }
        if let error = hook(call) ?? error { throw error }
    }

    // MARK: - The Accessor

    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        try begin(.read(range(of: pieces, offset)))
        contents.withLock { contents in
            var position = Int(offset)
            for piece in pieces {
                let inside = max(0, min(piece.iov_len, Int(size) - position))
                contents.bytes.withUnsafeBytes { _ = memcpy(piece.iov_base, $0.baseAddress! + position, inside) }
                memset(piece.iov_base + inside, 0, piece.iov_len - inside)
                position += piece.iov_len
            }
        }
    }

    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        precondition(offset % 4096 == 0 && pieces.allSatisfy { $0.iov_len % 4096 == 0 }, "whole pages go out")
        try begin(.writeOut(range(of: pieces, offset)))
        copy(pieces, offset)
    }

    func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        let unit = partUnit!
        precondition(Int(offset) % unit == 0 && pieces.allSatisfy { $0.iov_len % unit == 0 }, "parts are whole units")
        precondition(pieces.allSatisfy { Int(bitPattern: $0.iov_base) % 4096 == 0 }, "parts lie on base pages")
        let parts = range(of: pieces, offset)
        precondition(parts.upperBound == offset + bytes(in: pieces), "parts lie in the image")
        try begin(.parts(parts))
        copy(pieces, offset)
    }

    private func copy(_ pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) {
        contents.withLock { contents in
            var position = Int(offset)
            for piece in pieces {
                let inside = max(0, min(piece.iov_len, Int(size) - position))
                contents.bytes.withUnsafeMutableBytes { _ = memcpy($0.baseAddress! + position, piece.iov_base, inside) }
                position += piece.iov_len
            }
            for page in BasePage.numbers(covering: range(of: pieces, offset)) { contents.holes.remove(page) }
        }
    }

    private func bytes(in pieces: UnsafeBufferPointer<iovec>) -> Int64 { pieces.reduce(0) { $0 + Int64($1.iov_len) } }

    private func range(of pieces: UnsafeBufferPointer<iovec>, _ offset: Int64) -> Range<Int64> {
        offset..<min(offset + bytes(in: pieces), size)
    }

    func makeDurable() throws(AccessError) { try begin(.sync) }

    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        try begin(.zero(range))
        contents.withLock { contents in
            for place in range { contents.bytes[Int(place)] = 0 }
        }
    }

    func trim(_ range: Range<Int64>) throws(AccessError) { throw AccessError(EOPNOTSUPP) }

    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        let holes = contents.withLock { $0.holes }
        try begin(.answer)
        for page in BasePage.numbers(covering: range) {
            let bytes = (Int64(page) * 4096..<Int64(page + 1) * 4096).clamped(to: range)
            guard report(Extent(bytes, holes.contains(page) ? .hole : .data)) else { return }
        }
    }
}
