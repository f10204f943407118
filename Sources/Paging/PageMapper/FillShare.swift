import Synchronization

/// Of one image: how many frames its fills may hold at once, if several images share the Memory.
///
/// The reads of an image whose disk hangs hold their frames for ever. So one image's fills hold at most a quarter of
/// the Memory. A fill that would exceed that waits as if there were no memory (`PageMapper.plan`). Only a fill that has
/// frames holds a part of the share, so no thread sleeps with one.
///
/// Thread rules: any thread, without a lock. A copy counts in the same place. O(1). If the Memory is not shared it
/// costs one comparison.
struct FillShare: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>?
    private let max: Int

    private struct State: ~Copyable {
        let held = Atomic<Int>(0)
        /// Threads have been refused since the last wake-up.
        let hasRefused = Atomic<Bool>(false)
    }

    /// - Parameter frames: Frames of the Memory.
    /// - Parameter isShared: Whether several images share it.
    init(frames: Int, isShared: Bool) {
        max = Swift.max(1, frames / 4)
        guard isShared else {
            state = nil
            return
        }
        state = .allocate(capacity: 1)
        state?.initialize(to: State())
    }

    func destroy() {
        state?.deinitialize(count: 1)
        state?.deallocate()
    }

    /// Takes up to `count` frames.
    /// - Returns: How many; 0 if the image's fills hold their share. `give` wakes the caller then, if it waits.
    @inline(__always)
    func take(_ count: Int) -> Int {
        guard let state else { return count }
        var before = state.pointee.held.load(ordering: .sequentiallyConsistent)
        while true {
            let part = min(count, max - before)
            guard part > 0 else {
                state.pointee.hasRefused.store(true, ordering: .sequentiallyConsistent)
                let now = state.pointee.held.load(ordering: .sequentiallyConsistent)
                if now >= max { return 0 }
                before = now
                continue
            }
            let (exchanged, original) = state.pointee.held.weakCompareExchange(
                expected: before, desired: before + part, ordering: .sequentiallyConsistent)
            if exchanged { return part }
            before = original
        }
    }

    /// Gives frames back, and wakes in `waiters` those that have been refused.
    @inline(__always)
    func give(_ count: Int, waking waiters: MemoryWaiters) {
        guard let state, count > 0 else { return }
        let before = state.pointee.held.wrappingSubtract(count, ordering: .sequentiallyConsistent).oldValue
        assert(before >= count, "no more is given back than was taken")
        if state.pointee.hasRefused.exchange(false, ordering: .sequentiallyConsistent) { waiters.wake() }
    }
}
