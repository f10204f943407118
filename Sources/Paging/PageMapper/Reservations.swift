import Glibc
import Synchronization

/// The ranges of one image that a zero or trim has reserved: new fills, writes and write-outs in them wait.
///
/// Whoever begins a fill, a write or a write-out asks `overlaps` under its shard's lock; whoever reserves does so first
/// and then visits the shards. So what began earlier is found there, and what begins later sees the reservation.
///
/// Costs a load while nothing is reserved. Thread rules: any thread; its lock comes after a shard's and is an innermost
/// one; who waits here holds nothing (invariant 9).
struct Reservations: @unchecked Sendable {
    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    private static let capacity = 16

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
        !isEmpty && monitor.withLock { isReserved(pages) }
    }

    private func isReserved(_ pages: Range<UInt64>) -> Bool {
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].overlaps(pages) { return true }
        return false
    }

    /// Sleeps until none of `pages` is reserved.
    func wait(for pages: Range<UInt64>) {
        monitor.lock()
        while isReserved(pages) { monitor.wait() }
        monitor.unlock()
    }

    /// Reserves `pages`, which is not empty, once nobody else has any of them and there is a slot for it.
    func reserve(_ pages: Range<UInt64>) {
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            if !isReserved(pages), let slot = freeSlot {
                state.pointee.ranges[slot] = pages
                state.pointee.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
                return
            }
            monitor.wait()
        }
    }

    private var freeSlot: Int? {
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].isEmpty { return index }
        return nil
    }

    /// Gives the reservation of exactly `pages` back, and wakes those who wait for it.
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
