/// How finely an Advisor samples, so that all its tables fit into their part of the memory.
struct AdvisorLayout {
    /// The binary logarithm of the base pages of which one is sampled.
    let groupShift: UInt64
    /// Frames of the memory that there is.
    let frames: Int
    let images: Int
    let ringCapacity: Int
    /// Bytes of all tables, at most: what is set aside.
    let bytes: Int

    /// One page in 32 is sampled at most: a sample costs a thread of the data path some sixty instructions, and the
    /// thread that simulates it some eight hundred. One page of each chunk is sampled at least: a group is a part of a
    /// chunk, whose hash says which page it is.
    static let groupShifts: ClosedRange<UInt64> = 5...Chunk.shift
    /// Enough frames for the miniature of the present memory. More would only cost time.
    private static let enoughFrames = 1 << 12
    /// The minimum of frames that the miniature of the present memory has. With fewer, the advice would be noise.
    private static let minFrames = 48

    /// The part of the memory that advice takes, of `bytes` bytes: 1 %, in whole base pages.
    static func budget(memory bytes: Int) -> Int { bytes / 100 / BasePage.size * BasePage.size }

    /// The finest sampling that is useful and for which everything fits into `bytes`; nil if there is too little.
    init?(frames: Int, images: Int, bytes: Int) {
        let ringCapacity = max(256, min(1 << 14, (bytes / 128).roundedDownToPowerOfTwo))
        let fitting = AdvisorLayout.groupShifts.first { shift in
            AdvisorLayout.bytes(frames: frames, images: images, ringCapacity, shift) <= bytes
                && (frames >> shift <= AdvisorLayout.enoughFrames || shift == AdvisorLayout.groupShifts.upperBound)
        }
        guard let fitting, frames >> fitting >= AdvisorLayout.minFrames else { return nil }
        groupShift = fitting
        self.frames = frames
        self.images = images
        self.ringCapacity = ringCapacity
        self.bytes = bytes
    }

    private static func bytes(frames: Int, images: Int, _ ringCapacity: Int, _ shift: UInt64) -> Int {
        let miniatures = MiniatureSize.all.reduce(0) { sum, size in
            let frames = max(Miniature.minFrames, size.scaled(frames) >> shift)
            return sum + Miniature.bytes(frames: frames, images: images)
        }
        let image =
            MemoryLayout<PageQueue.Wish>.stride + MemoryLayout<UInt64>.stride + MemoryLayout<Advisor.Baseline>.stride
        return miniatures + images * image + ringCapacity * MemoryLayout<UInt64>.stride + 1024
    }
}

extension Int {
    /// The largest power of two that is not larger; 1 if there is none.
    fileprivate var roundedDownToPowerOfTwo: Int { self < 2 ? 1 : 1 << (Int.bitWidth - 1 - leadingZeroBitCount) }
}
