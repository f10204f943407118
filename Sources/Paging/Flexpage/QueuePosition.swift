/// The position of a flexpage in the PageQueue, and its order, in one word.
///
/// Written under the PageQueue's lock, or before anybody knows the flexpage; but its time is set anew with the first
/// use of what was read ahead. The order stays as long as the flexpage is pinned or in an AccessMap whose lock is held.
struct QueuePosition {
    let raw: UInt32

    @inline(__always)
    init(_ raw: UInt32) { self.raw = raw }

    /// - Parameter tick: When it entered probation, in frames that had entered by then, modulo 2²⁸; 0 where it is not
    ///   in probation.
    @inline(__always)
    init(at tick: UInt32, order: UInt8) { raw = tick &<< 4 | UInt32(order) }

    @inline(__always)
    var order: UInt64 { UInt64(raw & 15) }

    /// When it entered probation; 0 where it is not in probation.
    @inline(__always)
    var tick: UInt32 { raw &>> 4 }

    /// Whether it is in probation.
    @inline(__always)
    var isTimed: Bool { raw > 15 }

    /// Frames that have entered probation since it did, when `clock` have in all, modulo 2²⁸.
    @inline(__always)
    func age(at clock: UInt32) -> UInt32 { (clock &<< 4 &- (raw & ~15)) &>> 4 }

    /// The base pages of the flexpage, one of which is `page`.
    @inline(__always)
    func covered(with page: UInt64) -> Range<UInt64> {
        let size: UInt64 = 1 &<< order
        let first = page & ~(size &- 1)
        return first..<first &+ size
    }
}
