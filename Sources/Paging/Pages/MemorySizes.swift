import Synchronization

/// What follows from the number of frames that there are at present. A limit of the memory changes it at run time
/// (`MemoryLimit`).
///
/// Tables have the size that all of the memory needs. What is computed from the present size asks here each time, or is
/// told (`Pages.follow`): the dirty limit, the shares and the ghosts.
///
/// Thread rules: any thread, without a lock. A copy is the same. Its owner destroys it.
struct MemorySizes: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>
    private let maxPagesOfFill: Int
    /// The maximum window of reading ahead that is wanted, base pages.
    let wantedReadahead: Int
    /// Whether images may be far away: a read takes long, whatever its length.
    private let isFar: Bool

    // A change that comes a moment late does no harm, so these are no part of a schedule.
    private struct State: ~Copyable {
        let frames = Synchronization.Atomic<Int>(0)
        let maxFramesOfFill = Synchronization.Atomic<Int>(0)
        let maxReadahead = Synchronization.Atomic<Int>(0)
        let maxLateReadahead = Synchronization.Atomic<Int>(0)
    }

    init(frames: Int, maxPagesOfFill: Int, readahead: Int, isFar: Bool = false) {
        self.isFar = isFar
        self.maxPagesOfFill = maxPagesOfFill
        wantedReadahead = readahead
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        follow(frames)
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// There are `frames` frames now.
    func follow(_ frames: Int) {
        state.pointee.frames.store(frames, ordering: .relaxed)
        state.pointee.maxFramesOfFill.store(max(1, min(frames / 8, maxPagesOfFill)), ordering: .relaxed)
        let readahead = min(wantedReadahead, ImageQueues.probationTarget(ofFrames: frames) / 3)
        state.pointee.maxReadahead.store(readahead, ordering: .relaxed)
        let late = isFar ? max(readahead, min(wantedReadahead, frames / 10)) : readahead
        state.pointee.maxLateReadahead.store(late, ordering: .relaxed)
    }

    /// Frames that there are at present, or that are left when the limit is reached.
    var frames: Int { state.pointee.frames.load(ordering: .relaxed) }

    /// The maximum number of frames that one fill takes, so that one request leaves some to the others.
    var maxFramesOfFill: Int { state.pointee.maxFramesOfFill.load(ordering: .relaxed) }

    /// The maximum window of reading ahead, base pages.
    var maxReadahead: Int { state.pointee.maxReadahead.load(ordering: .relaxed) }

    /// The maximum window of a reader that comes before what is read ahead of it. What is under way takes memory, and
    /// no place on a queue.
    var maxLateReadahead: Int { state.pointee.maxLateReadahead.load(ordering: .relaxed) }

    /// The maximum number of frames that the fills of one image hold, if several images share the Memory.
    var maxFramesOfFills: Int { max(1, frames / 4) }

    /// The maximum number of base pages that are asked for ahead and not yet read.
    var maxPagesAhead: Int { min(max(1, frames / 4), 8192) }
}
