/// What the reads of one image have found in a Miniature. In sampled base pages.
struct MiniatureCounts: Equatable {
    /// Missing here, and missing in the memory that there is.
    var missed: UInt64 = 0
    /// Missing here, but resident in the memory that there is, and used there before.
    var lost: UInt64 = 0
    /// Missing here, but resident in the memory that there is because it had been read ahead, and not used since.
    var lostAhead: UInt64 = 0
    /// Resident here because it had been read ahead, and not used since.
    var foundAhead: UInt64 = 0

    /// Adds the counts of another image.
    mutating func add(_ other: MiniatureCounts) {
        missed += other.missed
        lost += other.lost
        lostAhead += other.lostAhead
        foundAhead += other.foundAhead
    }

    /// Halves all of it: what happened long ago counts less.
    mutating func halve() {
        missed /= 2
        lost /= 2
        lostAhead /= 2
        foundAhead /= 2
    }
}
