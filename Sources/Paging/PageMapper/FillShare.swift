import Synchronization

/// Of one image: how many frames its fills may hold at once, if several images share the Memory.
///
/// The reads of an image whose disk hangs hold their frames for ever. So one image's fills hold at most a quarter of
/// the Memory. A request whose fill would exceed that sleeps here (`PageMapper.plan`), and not in the Pages'
/// MemoryWaiters: it wants no memory of other images, and each page that they give back would wake it. Only a fill that
/// has frames holds a part of the share, so no thread sleeps with one.
///
/// Thread rules: any thread, without a lock. A copy counts in the same place. O(1). If the Memory is not shared it
/// costs one comparison.
struct FillShare: @unchecked Sendable {
    private let state: UnsafeMutablePointer<State>?
    private let sizes: MemorySizes

    private struct State: ~Copyable {
        let held = Atomic<Int>(0)
        let waiters = MemoryWaiters()
    }

    /// - Parameter isShared: Whether several images share the Memory.
    init(_ sizes: MemorySizes, isShared: Bool) {
        self.sizes = sizes
        guard isShared else {
            state = nil
            return
        }
        state = .allocate(capacity: 1)
        state?.initialize(to: State())
    }

    func destroy() {
        state?.pointee.waiters.destroy()
        state?.deinitialize(count: 1)
        state?.deallocate()
    }

    /// Takes up to `count` frames.
    /// - Returns: How many; 0 if the image's fills hold their share. `wait` waits for that to change.
    @inline(__always)
    func take(_ count: Int) -> Int {
        guard let state else { return count }
        var before = state.pointee.held.load(ordering: .relaxed)
        while true {
            let part = min(count, sizes.maxFramesOfFills - before)
            guard part > 0 else { return 0 }
            let (exchanged, original) = state.pointee.held.weakCompareExchange(
                expected: before, desired: before + part, ordering: .sequentiallyConsistent)
            if exchanged { return part }
            before = original
        }
    }

    /// Sleeps until the image's fills hold less than their share, or at once if they do. No lock is held.
    func wait() {
        guard let state else { return }
        let ticket = state.pointee.waiters.begin()
        guard state.pointee.held.load(ordering: .sequentiallyConsistent) >= sizes.maxFramesOfFills else {
            state.pointee.waiters.end()
            return
        }
        state.pointee.waiters.sleep(ticket)
    }

    /// The share may have become larger: wakes those that wait.
    func wake() { state?.pointee.waiters.wake() }

    /// Gives frames back, and wakes those that wait.
    @inline(__always)
    func give(_ count: Int) {
        guard let state, count > 0 else { return }
        let before = state.pointee.held.wrappingSubtract(count, ordering: .sequentiallyConsistent).oldValue
        assert(before >= count, "no more is given back than was taken")
        state.pointee.waiters.wake()
    }
}
