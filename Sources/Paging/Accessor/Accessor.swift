import Glibc

/// Reaches one image: populates flexpages from it, writes them out to it, makes what was written durable, zeroes,
/// trims, and tells what is a hole.
///
/// Rules for who calls:
/// - No lock of Paging is held during a call, and calls come from many threads at once.
/// - Offsets given to `populate` and `writeOut` are multiples of the base page (4096 bytes), and so are the lengths of
///   the pieces and the addresses of their memory. The last base page of an image may reach past `size`.
/// - Two calls that write overlapping ranges are never under way at the same time.
/// - A LastWill keeps neither: it calls with a lock held, and writes once more, with the same bytes, what is being
///   written.
///
/// Rules for who implements:
/// - EINTR and short transfers are dealt with inside; a call has done all of its work or it throws.
/// - Nothing is kept of the pieces after the call returns.
/// - Nothing here allocates once the image is open, as the bound of `memory=` and serving swap depend on it.
public protocol Accessor: AnyObject, Sendable {
    /// Bytes in the image. Constant while it is open.
    var size: Int64 { get }

    /// Whether the image can be written.
    var isWritable: Bool { get }

    /// Reads the image at `offset` into `pieces`, one after the other. What lies past `size` becomes zeroes.
    /// - Throws: the image's error; EIO where the image has become shorter than `size`.
    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError)

    /// Writes `pieces`, one after the other, to the image at `offset`. What lies past `size` is not written: the image
    /// never becomes longer. The bytes are stable until the call returns. Not durable before `makeDurable`.
    /// - Throws: the image's error (ENOSPC, EIO, …); EIO where the image has become shorter than `size`. Part of the
    ///   bytes may have been written then.
    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError)

    /// Does several such writes at once, which do not overlap, and says of each what became of it. Accessors that gain
    /// nothing from having them together need not implement it.
    func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>)

    /// Makes durable whatever calls that had returned before this one began have written, zeroed or trimmed.
    func makeDurable() throws(AccessError)

    /// Makes `range` (any byte offsets inside the image) read as zeroes.
    /// - Parameter mayTrim: Whether it may become a hole; if not, its space stays allocated.
    /// - Parameter onlyIfFast: Throw EOPNOTSUPP, having changed nothing, rather than write zeroes out.
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError)

    /// Makes `range` (multiples of the base page, but for the image's end) a hole that reads as zeroes, where the
    /// image can have one.
    /// - Throws: EOPNOTSUPP where it cannot; nothing has changed then.
    func trim(_ range: Range<Int64>) throws(AccessError)

    /// Tells the extents of `range` in ascending order, touching one another, from its beginning on, clipped to it,
    /// until `report` returns false or the range ends. Where the image cannot tell, all is data.
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError)
}

extension Accessor {
    public func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>) {
        for index in writes.indices {
            do throws(AccessError) {
                try writeOut(writes[index].pieces, at: writes[index].offset)
            } catch {
                writes[index].error = error
            }
        }
    }
}
