/// What the reads of one image have found in a Miniature. In sampled base pages.
struct MiniatureCounts {
    /// Missing here, and missing in the memory that there is.
    var missed: UInt64 = 0
    /// Missing here, but resident in the memory that there is.
    var lost: UInt64 = 0
    /// Resident here because it had been read ahead, and not used since.
    var foundAhead: UInt64 = 0

    static func + (one: MiniatureCounts, other: MiniatureCounts) -> MiniatureCounts {
        MiniatureCounts(
            missed: one.missed + other.missed, lost: one.lost + other.lost,
            foundAhead: one.foundAhead + other.foundAhead)
    }

    /// Half of it: what happened long ago counts less.
    var half: MiniatureCounts { MiniatureCounts(missed: missed / 2, lost: lost / 2, foundAhead: foundAhead / 2) }
}
