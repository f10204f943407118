import Glibc

/// What one client holds: reads, writes and flushes on one Provider.
///
/// Thread rules: any number of requests at once, from any threads. Each ends (invariant 9), and one that fails fails
/// alone. Nothing is allocated or retained by a read of what is resident.
public final class Pager: Sendable {
    public let provider: Provider

    /// Whether a write is answered only when it has reached the image (durable or not).
    public let isWriteThrough: Bool

    public init(_ provider: Provider, writeThrough: Bool = false) {
        self.provider = provider
        isWriteThrough = writeThrough
    }

    /// Copies the image from `offset` on into `buffer`, whole.
    /// - Throws: EINVAL where the range is not inside the image; else the Accessor's error. The buffer's contents are
    ///   undefined then.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {
        let range = try checked(offset, buffer.count)
        guard let base = buffer.baseAddress else { return }
        try walk(range) { part, position in
            (base + position).copyMemory(from: part.baseAddress!, byteCount: part.count)
        } zeroes: { count, position in
            memset(base + position, 0, count)
        }
    }

    /// Makes the flexpages of `range` resident, as far as memory allows, and copies nothing. Holes cost no I/O, but
    /// O(chunks).
    /// - Throws: As `read`.
    public func populate(_ range: Range<Int64>) throws(AccessError) {
        let range = try checked(range.lowerBound, range.count)
        try walk(range) { _, _ in
        } zeroes: { _, _ in
        }
    }

    /// Calls `body` with the memory of each part of `range` while it is lent, and its position in the range; or
    /// `zeroes` with the length and the position of a part that is zeroes.
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

    @inline(__always)
    func checked(_ offset: Int64, _ count: Int) throws(AccessError) -> Range<Int64> {
        let (end, overflow) = offset.addingReportingOverflow(Int64(count))
        guard offset >= 0, !overflow, end <= provider.size else { throw AccessError(EINVAL) }
        return offset..<end
    }
}
