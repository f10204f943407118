import Paging

/// One connection to a layer.
///
/// Offsets and lengths of reads and writes are multiples of `properties.minBlock`, except at the end of the layer, and
/// no call is longer than `properties.maxRequest`. What the properties do not allow is not called. `close` is the last
/// call, and comes once.
public protocol LayerContext: AnyObject, Sendable {
    /// Constant.
    var properties: LayerProperties { get }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(AccessError)
    func write(from buffer: UnsafeRawBufferPointer, at offset: Int64) throws(AccessError)

    /// Makes durable what calls that returned before have changed.
    func flush() throws(AccessError)

    /// Makes the range read as zeroes.
    /// - Throws: EOPNOTSUPP if `onlyIfFast` and it would take writes.
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError)

    /// Lets the layer forget the range, which may read as anything that it has ever been.
    func trim(_ range: Range<Int64>) throws(AccessError)

    /// Reports what is known of the range, from its beginning on, until `report` returns false. It may end early.
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError)

    func close()
}
