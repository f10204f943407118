public final class Pager: @unchecked Sendable {
    public let provider: Provider
    public init(_ provider: Provider) { self.provider = provider }
    /// Bytes at `offset` into `buffer`, whole. Throws EINVAL outside the image.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError) {}
    /// Supplies the pages of `range` without copying them (NBD_CMD_CACHE).
    public func populate(_ range: Range<Int64>) throws(AccessError) {}
    /// Extents, ascending, clipped, until `report` returns false.
    public func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {}
    // Writes, of the next stage:
    public func write(from buffer: UnsafeRawBufferPointer, at offset: Int64, forced: Bool) throws(AccessError) {}
    public func flush() throws(AccessError) {}
    public func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool, forced: Bool) throws(AccessError) {}
    public func trim(_ range: Range<Int64>, forced: Bool) throws(AccessError) {}
}
