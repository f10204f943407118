import Glibc
import Synchronization

/// The ranges of one image that a zero or trim has reserved: new fills, writes and write-outs in them wait.
///
/// A thread that begins a fill, a write or a write-out asks `overlaps` under its shard's lock. A thread that reserves a
/// range does so first, and visits the shards afterwards. So it finds what began earlier, and what begins later sees
/// the reservation.
///
/// It costs a load while nothing is reserved. Thread rules: any thread. Its lock is an innermost one. A thread that
/// waits here holds nothing (invariant 9).
struct Reservations: @unchecked Sendable {
    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    private static let capacity = 16
    private static var waiting: StaticString { "a reservation is waited for (invariant 9)" }

    private struct State: ~Copyable {
        let count = Atomic<Int>(0)
        var ranges = InlineArray<16, Range<UInt64>>(repeating: 0..<0)
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        monitor.destroy()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Whether nothing is reserved.
    @inline(__always)
    var isEmpty: Bool { state.pointee.count.load(ordering: .sequentiallyConsistent) == 0 }

    /// Whether any of `pages` is reserved.
    @inline(__always)
    func overlaps(_ pages: Range<UInt64>) -> Bool {
        !isEmpty && monitor.withLock { isReservedLocked(pages) }
    }

    private func isReservedLocked(_ pages: Range<UInt64>) -> Bool {
        monitor.assertHeld()
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].overlaps(pages) { return true }
        return false
    }

    /// Sleeps until none of `pages` is reserved. No lock is held.
    func wait(for pages: Range<UInt64>) {
        LockRank.assertNoneHeld(Reservations.waiting)
        monitor.lock()
        while isReservedLocked(pages) { monitor.wait() }
        monitor.unlock()
    }

    /// Reserves `pages`, which is not empty, once no other reservation has any of them and there is a slot for it. No
    /// lock is held.
    func reserve(_ pages: Range<UInt64>) {
        LockRank.assertNoneHeld(Reservations.waiting)
        assert(!pages.isEmpty, "a slot with an empty range is free")
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            if !isReservedLocked(pages), let slot = freeSlotLocked {
                state.pointee.ranges[slot] = pages
                state.pointee.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
                return
            }
            monitor.wait()
        }
    }

    private var freeSlotLocked: Int? {
        monitor.assertHeld()
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].isEmpty { return index }
        return nil
    }

    /// Gives back the reservation of exactly `pages`, and wakes the threads that wait for it.
    func release(_ pages: Range<UInt64>) {
        monitor.lock()
        defer { monitor.unlock() }
        for index in 0..<Reservations.capacity where state.pointee.ranges[index] == pages {
            state.pointee.ranges[index] = 0..<0
            state.pointee.count.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            monitor.wakeAll()
            return
        }
        preconditionFailure("only what is reserved is released")
    }
}
