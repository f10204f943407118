import Glibc

/// One client's view of a Provider: its reads, writes, flushes, zeroes and trims.
///
/// Thread rules: any number of requests at once, from any threads. Each ends (invariant 9), and one that fails fails
/// alone. Nothing is allocated or retained by a read of what is resident.
public final class Pager: Sendable {
    public let provider: Provider

    /// Whether a write is answered only when it has reached the image, durable or not.
    public let isWriteThrough: Bool

    public init(_ provider: Provider, writeThrough: Bool = false) {
        self.provider = provider
        isWriteThrough = writeThrough
    }

    /// Copies the image from `offset` on into all of `buffer`.
    /// - Throws: EINVAL if the range is not inside the image; the Accessor's error. The buffer's contents are undefined
    ///   then.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        try check(offset, buffer.count)
        guard let base = buffer.baseAddress else { return }
        let range = offset..<offset &+ Int64(buffer.count)
        try walk(range) { part, position in
            (base + position).copyMemory(from: part.baseAddress!, byteCount: part.count)
        } zeroes: { count, position in
            memset(base + position, 0, count)
        }
    }

    /// Makes the flexpages of `range` resident, as far as memory allows, and copies nothing. Holes cost no I/O, only
    /// O(chunks).
    /// - Throws: As `read`.
    public func populate(_ range: Range<Int64>) throws(AccessError) {
        try check(range.lowerBound, range.count)
        try walk(range) { _, _ in
        } zeroes: { _, _ in
        }
    }

    /// Calls `body` with the memory of each part of `range` while it is lent, and with its position in the range. Of a
    /// part that is zeroes, calls `zeroes` with its length and position.
    @inline(__always)
    private func walk(
        _ range: Range<Int64>, _ body: (UnsafeMutableRawBufferPointer, Int) -> Void, zeroes: (Int, Int) -> Void
    ) throws(AccessError) {
        var progress = PageMapper.RequestProgress()
        var offset = range.lowerBound
        while offset < range.upperBound {
            let loan = try provider.mapper.lend(offset..<range.upperBound, &progress)
            let position = Int(offset &- range.lowerBound)
            if loan.count > 0 {
                loan.forEachPart { part, partPosition in body(part, position &+ partPosition) }
            } else {
                zeroes(loan.range.count, position)
            }
            offset = loan.range.upperBound
        }
    }

    /// Throws EINVAL unless `count` bytes from `offset` on lie in the image. Nothing here can overflow.
    @inline(__always)
    func check(_ offset: Int64, _ count: Int) throws(AccessError) {
        assert(count >= 0, "a length is not negative")
        guard offset >= 0, Int64(count) <= provider.size &- offset else { throw AccessError(EINVAL) }
    }
}
