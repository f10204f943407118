/// A run of memory inside the Memory: its first frame, and how many frames it has, as a power of two.
///
/// A Region belongs to exactly one flexpage, one fill in flight, or the free lists (invariant 3). It is aligned to its
/// size inside the arena.
struct Region: Equatable {
    /// The number of its first frame.
    let first: UInt32
    /// The binary logarithm of its frames: 0 (4 KiB) to 8 (1 MiB).
    let order: UInt8

    /// The largest order there is: a chunk.
    static let maxOrder = 8

    /// How many frames it has.
    @inline(__always)
    var frames: Int { 1 &<< Int(order) }

    /// The frame after its last.
    @inline(__always)
    var end: UInt32 { first &+ UInt32(frames) }

    func contains(_ frame: UInt32) -> Bool { first <= frame && frame < end }
    func contains(_ other: Region) -> Bool { first <= other.first && other.end <= end }

    /// The Region of the same order that makes a Region of the next order together with this one.
    var buddy: Region { Region(first: first ^ (1 << UInt32(order)), order: order) }

    /// The Region of the next order that this one is half of.
    var parent: Region { Region(first: first & ~(1 << UInt32(order)), order: order + 1) }

    /// The upper half of the Region when its lower half is kept.
    var upperHalf: Region { Region(first: first + (1 << UInt32(order - 1)), order: order - 1) }
    /// The lower half of the Region.
    var lowerHalf: Region { Region(first: first, order: order - 1) }
}
