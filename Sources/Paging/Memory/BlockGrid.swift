/// The blocks of the frames: pieces that the system takes back and gives again as a whole (MemoryBacking).
///
/// Blocks are aligned to their size in the address space, frames only to the base page. So there may be frames before
/// the first block and after the last one, which stay for ever, and a Region may lie across the edge of a block.
struct BlockGrid: Equatable {
    /// The first frame of block 0.
    let first: Int
    /// Frames in a block.
    let size: Int
    /// How many blocks there are.
    let count: Int

    /// - Parameter base: The memory of frame 0.
    init(frames: Int, at base: UnsafeMutableRawPointer, blockBytes: Int) {
        precondition(blockBytes >= BasePage.size && blockBytes & (blockBytes - 1) == 0, "a block is a power of two")
        size = blockBytes / BasePage.size
        let before = (0 &- Int(bitPattern: base)) & (blockBytes - 1)
        first = before / BasePage.size
        count = max(0, frames - first) / size
    }

    /// The frames of a block.
    func frames(of block: Int) -> Range<UInt32> {
        assert((0..<count).contains(block), "there is such a block")
        let begin = first + block * size
        return UInt32(begin)..<UInt32(begin + size)
    }

    /// The block that a frame is in, or nil if it is in none.
    func block(of frame: UInt32) -> Int? {
        let position = Int(frame) - first
        return position >= 0 && position < count * size ? position / size : nil
    }
}
