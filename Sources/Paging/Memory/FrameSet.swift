/// Frames of one block of 256 that is aligned to its size: which of them are in somebody's hands. 32 bytes.
struct FrameSet {
    private var set = PageSet()

    init(_ region: Region) { insert(region) }

    func contains(_ frame: UInt32) -> Bool { set.contains(UInt64(frame)) }

    mutating func insert(_ region: Region) {
        set.formUnion(PageSet(UInt64(region.first)..<UInt64(region.end)))
    }
}
