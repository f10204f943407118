import Glibc

/// Reaches one image: populates flexpages from it, writes them out to it, makes durable what was written, zeroes,
/// trims, and reports holes.
///
/// Rules for callers:
/// - No lock of Paging is held during a call, and calls come from many threads at once.
/// - Offsets given to `populate` and `writeOut` are multiples of the base page (4096 bytes). So are the lengths of the
///   pieces and the addresses of their memory. The last base page of an image may reach past `size`.
/// - `writeParts` takes what begins or ends inside a base page, in units of its own.
/// - Two calls that write overlapping base pages are never under way at the same time.
/// - A LastWill follows neither the first nor the third rule. It calls with a lock held, and it may write what is being
///   written once more, with the same bytes.
///
/// Rules for implementations:
/// - EINTR and short transfers are handled inside. A call has done all of its work, or it throws.
/// - Nothing of the pieces is kept after the call returns.
/// - Nothing allocates once the image is open: the bound of `memory=` and serving swap depend on that.
public protocol Accessor: AnyObject, Sendable {
    /// Bytes in the image. Constant while it is open.
    var size: Int64 { get }

    /// Whether the image can be written.
    var isWritable: Bool { get }

    /// Reads the image at `offset` into `pieces`, one after the other. What lies past `size` becomes zeroes.
    /// - Throws: The image's error; EIO if the image has become shorter than `size`.
    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError)

    /// Writes `pieces`, one after the other, to the image at `offset`. What lies past `size` is not written: the image
    /// never becomes longer. The bytes are stable until the call returns. Not durable before `makeDurable`.
    /// - Throws: The image's error (ENOSPC, EIO, …); EIO if the image has become shorter than `size`. Part of the bytes
    ///   may have been written then.
    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError)

    /// Does several such writes at once, which do not overlap, and sets the error of each that fails. An Accessor that
    /// gains nothing from several writes at once need not implement this.
    func writeOut(_ writes: UnsafeMutableBufferPointer<WriteOut>)

    /// The unit of `writeParts`, bytes: a power of two, less than a base page. Nil if the image is written in whole
    /// base pages only, because it would have to read the rest of a page itself, or because what it has been given must
    /// stay in memory until it is durable.
    var partUnit: Int? { get }

    /// Writes `pieces`, one after the other, to the image at `offset`. Of the first base page and of the last one, that
    /// may be a part. The offset and the lengths of the pieces are multiples of `partUnit`, their addresses of a base
    /// page, and all lies inside the image. The bytes are stable until the call returns. Not durable before
    /// `makeDurable`.
    /// - Throws: As `writeOut`.
    func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError)

    /// Makes durable whatever was written, zeroed or trimmed by calls that returned before this one began.
    /// - Throws: The image's error. ESTALE, once, if the image was reached anew since the last call, and may have
    ///   forgotten what it was given before: a flush then gives it what is still in memory again, and asks once more.
    func makeDurable() throws(AccessError)

    /// Whether what `zero` and `trim` change is durable when they return. Constant.
    var isChangeDurable: Bool { get }

    /// Makes `range` (any byte offsets inside the image) read as zeroes.
    /// - Parameter mayTrim: Whether the range may become a hole; if not, its space stays allocated.
    /// - Parameter onlyIfFast: Throw EOPNOTSUPP, having changed nothing, rather than write zeroes out.
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError)

    /// Makes `range` a hole, if the image can have one, that reads as zeroes if `isTrimZeroing`. Its ends are multiples
    /// of the base page, or the end of the image.
    /// - Throws: EOPNOTSUPP if the image cannot have a hole; nothing has changed then.
    func trim(_ range: Range<Int64>) throws(AccessError)

    /// Whether what has been trimmed reads as zeroes; if not, it may read as anything that it has ever been. Constant.
    var isTrimZeroing: Bool { get }

    /// Reports the extents of `range` in ascending order, from its beginning on, without gaps and clipped to it, until
    /// `report` returns false or the range ends. If the image does not know its extents, all is data.
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError)

    /// The next server will find `record`: notes there where the image is, and what it looks like. From now on, what
    /// changes the image is counted there too. Called once, before any other call, if anything is kept.
    func keep(in record: KeptImage)

    /// Whether calls have changed the image since the last stamp (`noteStamp`), and none is under way. Calls nothing
    /// that could wait for the disk, or for another thread.
    var isStampDue: Bool { get }

    /// Notes in the record what the image looks like, if no call that changes it has begun since the last time this was
    /// called. Beside any other calls, but not beside itself.
    /// - Returns: Whether it has looked at the image. Then the next call comes a second later.
    func noteStamp() -> Bool

    /// No client has the image open any more: releases descriptors and locks. Nothing is dirty, and no call is under
    /// way. `wake` comes before the next call.
    func rest()

    /// A client has opened the image again, as `other`, which has the same identity. If this Accessor rests, and the
    /// image has certainly not changed since, takes over what `other` holds and serves again.
    /// - Returns: False if there is any doubt. Then pages that were read through this Accessor are dropped, `other`
    ///   takes its place, and this one is not called again.
    func wake(with other: any Accessor) -> Bool
}

extension Accessor {
    public var partUnit: Int? { nil }

    public func writeParts(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        preconditionFailure("an image without a unit of parts is written in whole base pages")
    }

    public var isChangeDurable: Bool { false }

    public var isTrimZeroing: Bool { true }

    public func keep(in record: KeptImage) {}

    public var isStampDue: Bool { false }

    public func noteStamp() -> Bool { false }

    public func rest() {}

    public func wake(with other: any Accessor) -> Bool { other === self }

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
