/// The position of a flexpage in the PageQueue, and its order, in one word.
///
/// It is written under the PageQueue's lock, or before anybody knows the flexpage. One exception: the first use of a
/// page that was read ahead sets its time anew, without the lock. The order stays as long as the flexpage is pinned, or
/// is in an AccessMap with the lock of its shard held.
struct QueuePosition {
    let raw: UInt32

    /// Bits of the order, the low ones; the time has the rest.
    private static let orderBits: UInt32 = 4
    private static let orderMask: UInt32 = 1 << orderBits - 1

    @inline(__always)
    init(_ raw: UInt32) { self.raw = raw }

    /// - Parameter tick: When it entered probation, in frames that had entered by then, modulo 2²⁸; 0 if it is not in
    ///   probation.
    @inline(__always)
    init(at tick: UInt32, order: UInt8) {
        assert(order <= Region.maxOrder, "no flexpage is larger than a chunk")
        raw = tick &<< QueuePosition.orderBits | UInt32(order)
    }

    @inline(__always)
    var order: UInt64 { UInt64(raw & QueuePosition.orderMask) }

    /// When it entered probation; 0 if it is not in probation.
    @inline(__always)
    var tick: UInt32 { raw &>> QueuePosition.orderBits }

    /// Whether it is in probation.
    @inline(__always)
    var isTimed: Bool { raw > QueuePosition.orderMask }

    /// Frames that have entered probation since it did, if `clock` frames have entered in all, modulo 2²⁸.
    @inline(__always)
    func age(at clock: UInt32) -> UInt32 {
        (clock &<< QueuePosition.orderBits &- (raw & ~QueuePosition.orderMask)) &>> QueuePosition.orderBits
    }

    /// The base pages of the flexpage, one of which is `page`.
    @inline(__always)
    func covered(with page: UInt64) -> Range<UInt64> {
        let size: UInt64 = 1 &<< order
        let first = page & ~(size &- 1)
        return first..<first &+ size
    }
}
