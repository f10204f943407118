/// The two ends of a list of flexpages, which are linked through themselves, and how much is on it. 16 bytes.
struct FlexpageList {
    var head = FlexpageID.none
    var tail = FlexpageID.none
    private var flexpageCount: UInt32 = 0
    private var frameCount: UInt32 = 0

    @inline(__always)
    var flexpages: Int { Int(flexpageCount) }
    @inline(__always)
    var frames: Int { Int(frameCount) }

    @inline(__always)
    mutating func count(_ frames: UInt64) {
        flexpageCount &+= 1
        frameCount &+= UInt32(truncatingIfNeeded: frames)
    }

    @inline(__always)
    mutating func uncount(_ frames: UInt64) {
        flexpageCount &-= 1
        frameCount &-= UInt32(truncatingIfNeeded: frames)
    }
}
