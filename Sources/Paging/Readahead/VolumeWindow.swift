import Synchronization

/// Of one image: counts the reads that the volume completes, in windows for the `VolumeJudge`.
///
///     counting ── a read ends, and the window is old enough ──▶ `end` returns it, and the next one begins
///        ├── none was under way for more than an eighth of the time ──▶ it is over, and has no reads
///        └── a read fails ──▶ it is dropped
///
/// Only windows in which reads were under way nearly all the time tell how fast the volume is. Nearly: a volume that is
/// held to a rate answers several reads at once, and clients need a moment to send the next ones. That was 1 to 10 % of
/// the time with eight requests under way.
///
/// Thread rules: any thread, without a lock. O(1): one addition as a read begins, three as it ends. Threads that end a
/// read in the moment in which a window ends count it in either one.
struct VolumeWindow: @unchecked Sendable {
    /// A window does not count if no read was under way for more than this part of it.
    private static let partOfIdle: UInt64 = 8

    private let state: UnsafeMutablePointer<State>

    /// What a window has seen.
    struct Count: Equatable {
        var reads: Int
        var pages: Int
        var microseconds: UInt64
    }

    // A count that comes a moment late does no harm, so these are no part of a schedule.
    private struct State: ~Copyable {
        let underWay = Synchronization.Atomic<Int>(0)
        let reads = Synchronization.Atomic<Int>(0)
        let pages = Synchronization.Atomic<Int>(0)
        /// When the window began, microseconds; 0 if none has begun.
        let began = Synchronization.Atomic<UInt64>(0)
        /// Since when no read has been under way; 0 if one is.
        let idleSince = Synchronization.Atomic<UInt64>(0)
        /// For how long none was, in this window.
        let idle = Synchronization.Atomic<UInt64>(0)
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// A read of the image begins `now`, in microseconds of a clock that never goes back. The clock is looked at only
    /// if no other read is under way.
    func begin(now: @autoclosure () -> UInt64) {
        guard state.pointee.underWay.wrappingAdd(1, ordering: .relaxed).oldValue == 0 else { return }
        let since = state.pointee.idleSince.exchange(0, ordering: .relaxed)
        guard since > 0 else { return }
        state.pointee.idle.wrappingAdd(max(now(), since) - since, ordering: .relaxed)
    }

    /// A read of `pages` pages has ended `now`.
    /// - Parameter isGood: Whether it has succeeded.
    /// - Returns: The window, if that is over.
    func end(_ pages: Int, isGood: Bool, now: UInt64) -> Count? {
        let left = state.pointee.underWay.wrappingSubtract(1, ordering: .relaxed).newValue
        if left == 0 { state.pointee.idleSince.store(now, ordering: .relaxed) }
        guard isGood else {
            state.pointee.began.store(0, ordering: .relaxed)
            return nil
        }
        state.pointee.reads.wrappingAdd(1, ordering: .relaxed)
        state.pointee.pages.wrappingAdd(pages, ordering: .relaxed)
        let began = state.pointee.began.load(ordering: .relaxed)
        guard began == 0 || now >= began + VolumeJudge.window else { return nil }
        guard state.pointee.began.compareExchange(expected: began, desired: now, ordering: .relaxed).exchanged
        else { return nil }
        let count = Count(
            reads: state.pointee.reads.exchange(0, ordering: .relaxed),
            pages: state.pointee.pages.exchange(0, ordering: .relaxed), microseconds: now - began)
        let idle = state.pointee.idle.exchange(0, ordering: .relaxed)
        if began == 0 { return nil }
        let isBusy = idle <= count.microseconds / VolumeWindow.partOfIdle
        return isBusy ? count : Count(reads: 0, pages: 0, microseconds: count.microseconds)
    }
}
