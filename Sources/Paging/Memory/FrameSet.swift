/// A set of frames of one block of 256 frames, which is aligned to its size. 32 bytes.
struct FrameSet {
    private var set = PageSet()

    init(_ region: Region) { insert(region) }

    func contains(_ frame: UInt32) -> Bool { set.contains(UInt64(frame)) }

    mutating func insert(_ region: Region) {
        set.formUnion(PageSet(UInt64(region.first)..<UInt64(region.end)))
    }
}
