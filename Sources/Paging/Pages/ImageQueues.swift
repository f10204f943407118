import Synchronization

/// The two queues of one image, and the clock of its probation. They lie in the Memory, for each number that an image
/// can have.
///
/// Thread rules: under the PageQueue's lock. A hit reads `clock` and `correlationFrames` without it.
struct ImageQueues: ~Copyable {
    var probation = FlexpageList()
    var main = FlexpageList()
    /// Frames that have entered probation so far, and ticks for hits, modulo 2³².
    let clock = Atomic<UInt32>(1)
    /// A hit counts once this number of frames has entered probation after the page.
    let correlationFrames = Atomic<UInt32>(0)
    /// Frames that probation aims at.
    fileprivate(set) var probationTarget: UInt32 = 0
    /// Images that have had this number before, modulo 2³²: the ghosts of one are not another's.
    fileprivate(set) var generation = UInt32.max
    /// The frames of other images for which `probationTarget` was computed; -1 if it has not been.
    fileprivate var framesOfOthers = -1
    /// The rest of a cache line. Without it, hits of one image would wait for misses of another.
    private let rest: UInt64 = 0

    @inline(__always)
    var flexpages: Int { probation.flexpages + main.flexpages }
    @inline(__always)
    var frames: Int { probation.frames + main.frames }

    /// The frames that probation aims at if a tenth would be less.
    static let minProbation = 100

    /// The frames that probation aims at if the image has, or could have, `frames` frames: a tenth of them, but at
    /// least `minimum` frames and at most half of them. If there are few frames, a page in a tenth of them would be
    /// recycled before it is used again.
    @inline(__always)
    static func probationTarget(ofFrames frames: Int, atLeast minimum: Int = minProbation) -> Int {
        max(frames / 10, min(minimum, frames / 2))
    }
}

extension UnsafeMutablePointer<ImageQueues> {
    /// Lets probation aim at its part of what the image has or could have: all that other images do not hold, and at
    /// least its reserve. So an image that is alone always aims at its part of the memory.
    @inline(__always)
    func aim(framesOfOthers: Int, reserve: Int, frames: Int, minProbation: Int) {
        guard framesOfOthers != pointee.framesOfOthers else { return }
        pointee.framesOfOthers = framesOfOthers
        let target = ImageQueues.probationTarget(
            ofFrames: Swift.max(frames - framesOfOthers, reserve), atLeast: minProbation)
        guard target != Int(pointee.probationTarget) else { return }
        pointee.probationTarget = UInt32(target)
        pointee.correlationFrames.store(UInt32(Swift.min(target / 2, 1 << 27)), ordering: .relaxed)
    }

    /// The reserve of the image has changed.
    func forgetAim() { pointee.framesOfOthers = -1 }

    /// The number becomes another image's. Nothing is queued.
    func begin() {
        assert(pointee.flexpages == 0, "an image that is closed has no pages")
        pointee.generation &+= 1
        pointee.clock.store(1, ordering: .relaxed)
        forgetAim()
    }
}
