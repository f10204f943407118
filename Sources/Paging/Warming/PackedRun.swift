/// A ResidentRun of one chunk in eight bytes. A list of them can be as long as the memory has pages.
///
/// They are sorted by rank, the highest first, and by place where the rank is the same. Who makes them says what the
/// rank is: 0 to `ResidentRun.maxWarmth`.
struct PackedRun: Comparable {
    /// From the top: what the rank lacks of the maximum, 4 bits; the first page, 48; the number of pages less one, 8;
    /// the warmth, 4.
    private let bits: UInt64

    init(_ pages: Range<UInt64>, warmth: UInt8, rank: UInt8 = 0) {
        assert(!pages.isEmpty && pages.isInOneChunk, "a chunk's pages fit in 8 bits")
        assert(warmth <= ResidentRun.maxWarmth && rank <= ResidentRun.maxWarmth, "each has four bits")
        bits =
            UInt64(ResidentRun.maxWarmth - rank) << 60 | pages.lowerBound << 12 | UInt64(pages.count - 1) << 4
            | UInt64(warmth)
    }

    var pages: Range<UInt64> {
        let first = bits >> 12 & PageKey.pageMask
        return first..<first + (bits >> 4 & 0xFF) + 1
    }

    var warmth: UInt8 { UInt8(bits & 0xF) }

    static func < (left: PackedRun, right: PackedRun) -> Bool { left.bits < right.bits }
}
