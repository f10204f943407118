import Glibc

/// Which frame was the first to hold each base page, while a section that may be anything is checked.
///
/// A hash table with open addressing. Its multiplier is drawn at random, so that no file can make it slow on purpose. 8
/// to 16 bytes for each frame, until the check is over. It takes 5 ms for 1 GiB of random pages. Sorting the keys
/// instead took 27.
struct FirstFrames: ~Copyable {
    /// Numbers of frames, plus 1; 0 for none.
    private let slots: UnsafeMutablePointer<UInt32>
    private let mask: Int
    private let shift: UInt64
    private let multiplier = UInt64.random(in: 0 ... .max) | 1

    init(frames: Int) {
        let bits = (frames * 2 - 1).log2 + 1
        slots = .allocate(capacity: 1 << bits)
        slots.initialize(repeating: 0, count: 1 << bits)
        mask = 1 << bits - 1
        shift = UInt64(64 - bits)
    }

    deinit { slots.deallocate() }

    /// Enters `frame`, unless another one has its page. Each frame is entered once, and half of the slots stay free.
    /// - Parameter key: The page of a frame.
    /// - Returns: The other one, or nil.
    borrowing func enter(_ frame: Int, _ key: (Int) -> UInt64) -> Int? {
        let wanted = key(frame)
        var slot = Int((wanted &* multiplier) >> shift)
        while slots[slot] != 0 {
            let other = Int(slots[slot]) - 1
            if key(other) == wanted { return other }
            slot = (slot + 1) & mask
        }
        slots[slot] = UInt32(frame + 1)
        return nil
    }
}
