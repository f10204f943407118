import Glibc
import Synchronization

/// The ranges of one image that are being changed behind the cache's back: new fills, writes and write-outs in them
/// wait. A zero or trim reserves its range for as long as that takes, and waits for it. A write around the Memory
/// reserves pages none of which is resident, for one write, and only if it can have them at once: it leaves slots, and
/// any range that is waited for, to the others.
///
/// A thread that begins a fill, a write or a write-out asks `overlaps` under its shard's lock. A thread that reserves a
/// range does so first, and visits the shards afterwards. So it finds what began earlier, and what begins later sees
/// the reservation.
///
/// Those that wait for a range get theirs in the order in which they came. Otherwise many small ranges, one after the
/// other, would keep a large one waiting for ever.
///
/// It costs a load while nothing is reserved. Thread rules: any thread. Its lock is an innermost one. A thread that
/// waits here holds nothing (invariant 9).
struct Reservations: @unchecked Sendable {
    private let monitor = Monitor()
    private let state: UnsafeMutablePointer<State>
    private static let capacity = 32
    /// Slots that only zeroes and trims take.
    private static let leftToOthers = 8
    private static var waiting: StaticString { "a reservation is waited for (invariant 9)" }

    private struct State: ~Copyable {
        /// Zeroes and trims that wait, in the order of their tickets: the next one to be given, and the first that has
        /// not got its range. They come first: see Shard.
        var nextTicket: UInt64 = 0
        var firstTicket: UInt64 = 0
        let count = Atomic<Int>(0)
        var ranges = InlineArray<32, Range<UInt64>>(repeating: 0..<0)
        /// Those of `count` that a zero or trim has. It changes under the lock, and no order of a schedule depends on
        /// it.
        let replacements = Synchronization.Atomic<Int>(0)
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

    /// Whether a zero or trim has reserved something.
    var isReplacing: Bool { state.pointee.replacements.load(ordering: .relaxed) > 0 }

    /// The first of `pages` that is reserved, or nil.
    @inline(__always)
    func first(in pages: Range<UInt64>) -> UInt64? {
        isEmpty ? nil : monitor.withLock { firstLocked(in: pages) }
    }

    private func firstLocked(in pages: Range<UInt64>) -> UInt64? {
        monitor.assertHeld()
        var found: UInt64?
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].overlaps(pages) {
            let page = max(state.pointee.ranges[index].lowerBound, pages.lowerBound)
            found = min(page, found ?? page)
        }
        return found
    }

    /// Whether any of `pages` is reserved.
    @inline(__always)
    func overlaps(_ pages: Range<UInt64>) -> Bool {
        !isEmpty && monitor.withLock { isReservedLocked(pages) }
    }

    private func isReservedLocked(_ pages: Range<UInt64>) -> Bool { firstLocked(in: pages) != nil }

    /// Sleeps until none of `pages` is reserved. No lock is held.
    func wait(for pages: Range<UInt64>) {
        LockRank.assertNoneHeld(Reservations.waiting)
        monitor.lock()
        while isReservedLocked(pages) { monitor.wait() }
        monitor.unlock()
    }

    /// Reserves `pages`, which is not empty, once no other reservation has any of them, there is a slot for it, and
    /// those that came before have theirs. No lock is held.
    func reserve(_ pages: Range<UInt64>) {
        LockRank.assertNoneHeld(Reservations.waiting)
        assert(!pages.isEmpty, "a slot with an empty range is free")
        monitor.withLock {
            let ticket = state.pointee.nextTicket
            state.pointee.nextTicket += 1
            while true {
                if ticket == state.pointee.firstTicket, !isReservedLocked(pages), let slot = freeSlotLocked {
                    state.pointee.firstTicket += 1
                    takeLocked(slot, pages)
                    state.pointee.replacements.wrappingAdd(1, ordering: .relaxed)
                    // The next one's range may be free.
                    if isAwaitedLocked { monitor.wakeAll() }
                    return
                }
                monitor.wait()
            }
        }
    }

    /// Whether a zero or trim waits.
    private var isAwaitedLocked: Bool { state.pointee.firstTicket < state.pointee.nextTicket }

    /// Reserves `pages` for a write around the Memory, if nothing is in the way and no zero or trim waits. Waits for
    /// nothing.
    /// - Returns: Whether it has.
    func reserveAtOnce(_ pages: Range<UInt64>) -> Bool {
        assert(!pages.isEmpty, "a slot with an empty range is free")
        return monitor.withLock {
            let others = state.pointee.count.load(ordering: .relaxed)
            guard !isAwaitedLocked, others < Reservations.capacity - Reservations.leftToOthers,
                !isReservedLocked(pages), let slot = freeSlotLocked
            else { return false }
            takeLocked(slot, pages)
            return true
        }
    }

    private func takeLocked(_ slot: Int, _ pages: Range<UInt64>) {
        state.pointee.ranges[slot] = pages
        state.pointee.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    private var freeSlotLocked: Int? {
        monitor.assertHeld()
        for index in 0..<Reservations.capacity where state.pointee.ranges[index].isEmpty { return index }
        return nil
    }

    /// Gives back the reservation of exactly `pages`, and wakes the threads that wait for it.
    /// - Parameter isReplacement: It was made by `reserve`.
    func release(_ pages: Range<UInt64>, isReplacement: Bool = true) {
        monitor.lock()
        defer { monitor.unlock() }
        if isReplacement { state.pointee.replacements.wrappingSubtract(1, ordering: .relaxed) }
        for index in 0..<Reservations.capacity where state.pointee.ranges[index] == pages {
            state.pointee.ranges[index] = 0..<0
            state.pointee.count.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            monitor.wakeAll()
            return
        }
        preconditionFailure("only what is reserved is released")
    }
}
