import Glibc

/// Which blocks are closed, and which of their frames are withheld: free, and handed out to nobody.
///
///     open ── Memory.close ──▶ closed: what is free in it, and what becomes free, is withheld
///      ▲                          │
///      └── Memory.reopen: ◀───────┘
///          what is withheld is free
///
/// It takes a bit for each frame and four bytes for each block, beside the Memory. The system gives them when the first
/// block is closed, so a server that never lowers its limit does not have them.
///
/// Thread rules: under the Memory's lock. O(1), if nothing else is said.
struct ClosedBlocks {
    let grid: BlockGrid
    /// How many blocks are closed.
    private(set) var count = 0
    /// Frames that are withheld.
    private(set) var withheld = 0
    /// How many times a block has been opened again: what was withheld before may be free since.
    private(set) var reopenings: UInt64 = 0
    /// A bit for each frame that is withheld.
    private let bits: UnsafeMutablePointer<UInt64>
    /// Of each block: 0 if it is open, else one more than the frames that are withheld in it.
    private let counts: UnsafeMutablePointer<UInt32>

    /// Whether frames of a Region are to be withheld.
    enum Part { case all, some, none }

    init(_ grid: BlockGrid, frames: Int) {
        self.grid = grid
        // Zeroed memory that is not touched takes none.
        guard let bits = calloc(frames / 64 + 1, MemoryLayout<UInt64>.stride),
            let counts = calloc(grid.count + 1, MemoryLayout<UInt32>.stride)
        else { preconditionFailure("there is address space") }
        self.bits = bits.assumingMemoryBound(to: UInt64.self)
        self.counts = counts.assumingMemoryBound(to: UInt32.self)
    }

    func destroy() {
        free(bits)
        free(counts)
    }

    func isClosed(_ block: Int) -> Bool { counts[block] > 0 }

    /// Frames that are withheld in a closed block.
    func withheld(in block: Int) -> Int {
        assert(isClosed(block), "an open block withholds nothing")
        return Int(counts[block]) - 1
    }

    func isWithheld(_ frame: UInt32) -> Bool { bits[Int(frame >> 6)] & 1 << UInt64(frame & 63) != 0 }

    mutating func close(_ block: Int) {
        precondition(!isClosed(block), "an open block is closed")
        counts[block] = 1
        count += 1
    }

    /// All of its frames must have been released.
    mutating func open(_ block: Int) {
        precondition(counts[block] == 1, "what was withheld has been released")
        counts[block] = 0
        count -= 1
        reopenings += 1
    }

    /// Whether the frames of `region` lie in closed blocks. O(blocks that it touches).
    func part(of region: Region) -> Part {
        guard count > 0 else { return .none }
        var found = (closed: false, open: false)
        var frame = region.first
        while frame < region.end {
            let block = grid.block(of: frame)
            if let block, isClosed(block) { found.closed = true } else { found.open = true }
            frame = block.map { grid.frames(of: $0).upperBound } ?? frame + 1
        }
        return found.closed ? found.open ? .some : .all : .none
    }

    /// The frames of `region`, all of them in closed blocks, are withheld from now on. O(frames of it).
    mutating func withhold(_ region: Region) {
        for frame in region.first..<region.end {
            assert(!isWithheld(frame), "a frame is in one place (invariant 3)")
            bits[Int(frame >> 6)] |= 1 << UInt64(frame & 63)
            counts[grid.block(of: frame)!] += 1
        }
        withheld += region.frames
    }

    /// A frame is withheld no more.
    mutating func release(_ frame: UInt32) {
        assert(isWithheld(frame), "only what is withheld is released")
        bits[Int(frame >> 6)] &= ~(1 << UInt64(frame & 63))
        counts[grid.block(of: frame)!] -= 1
        withheld -= 1
    }
}
