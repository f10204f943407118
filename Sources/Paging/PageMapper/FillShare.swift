import Synchronization

/// Of one image: how many frames its fills may hold at once, if several images share the Memory.
///
/// The reads of an image whose disk hangs hold their frames for ever. So one image's fills hold at most a quarter of
/// the Memory; a fill that exceeds that waits as if there were no memory.
///
/// Thread rules: any thread, without a lock. A copy counts in the same place. O(1). If the Memory is not shared it
/// costs one comparison.
struct FillShare: @unchecked Sendable {
    private let held: UnsafeMutablePointer<Atomic<Int>>?
    private let max: Int

    /// - Parameter frames: Frames of the Memory.
    /// - Parameter isShared: Whether several images share it.
    init(frames: Int, isShared: Bool) {
        max = Swift.max(1, frames / 4)
        guard isShared else {
            held = nil
            return
        }
        held = .allocate(capacity: 1)
        held?.initialize(to: Atomic(0))
    }

    func destroy() {
        held?.deinitialize(count: 1)
        held?.deallocate()
    }

    /// Takes up to `count` frames.
    /// - Returns: How many; 0 if the image's fills hold their share.
    @inline(__always)
    func take(_ count: Int) -> Int {
        guard let held else { return count }
        var before = held.pointee.load(ordering: .sequentiallyConsistent)
        while true {
            let part = min(count, max - before)
            guard part > 0 else { return 0 }
            let (exchanged, original) = held.pointee.weakCompareExchange(
                expected: before, desired: before + part, ordering: .sequentiallyConsistent)
            if exchanged { return part }
            before = original
        }
    }

    /// Gives frames back. Threads of the image may wait for them in `waiters`.
    @inline(__always)
    func give(_ count: Int, waking waiters: MemoryWaiters) {
        guard let held, count > 0 else { return }
        let before = held.pointee.wrappingSubtract(count, ordering: .sequentiallyConsistent).oldValue
        assert(before >= count, "no more is given back than was taken")
        waiters.wake()
    }
}
