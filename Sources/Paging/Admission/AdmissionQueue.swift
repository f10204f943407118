import Glibc
import Synchronization

/// Writers that wait until they may make more dirty, in the order of their arrival.
///
///     (fast path) ── no room, or somebody waits ──▶ waiting ── serve: it is first, and there is room ──▶ admitted
///                                                      └── waitForTurn: there is a reason to give up ──▶ gone
///
/// Each has a turn: how many had come to wait when its write began. The queue is in the order of turns. A writer that
/// was admitted, gave that back to wait for something else, and comes again is thus before those who came after it:
/// only a finite number is ever before a writer, and that number never grows. So nobody starves, and giving back costs
/// no place.
///
/// Whoever makes room serves the queue: it grants the first what there is room for, then the next, and wakes those and
/// no others. A waiter in the queue lies on the stack of who waits: nothing is allocated, and there is room for all.
///
/// Thread rules: any thread; who waits here holds nothing (invariant 9). `lock` is innermost: neither what is granted
/// nor why somebody gives up is asked of anything that takes another. O(1), but for a writer that comes again: O(those
/// who wait).
struct AdmissionQueue: @unchecked Sendable {
    private let lock: Lock
    private let state: UnsafeMutablePointer<State>

    private struct State: ~Copyable {
        /// Ends of the queue, under `lock`. Before the atomics, which are used without it.
        var first: UnsafeMutablePointer<Waiter>?
        var last: UnsafeMutablePointer<Waiter>?
        let waiting = Atomic<Int>(0)
        /// Those who have come to wait, so far.
        let arrivals = Atomic<UInt64>(0)
    }

    /// One who waits. All of it is under the queue's lock, but for the signals.
    private struct Waiter {
        let wanted: Int
        let turn: UInt64
        var granted = 0
        /// Signals that have been given or are about to be: the waiter must not go before all have been heard.
        var signals = 0
        var signal = sem_t()
        var previous: UnsafeMutablePointer<Waiter>?
        var next: UnsafeMutablePointer<Waiter>?
    }

    /// - Parameter mutex: Where the lock is to lie.
    init(mutex: UnsafeMutablePointer<pthread_mutex_t>) {
        lock = Lock(in: mutex)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Whether nobody waits. Exact after a sequentially consistent change of what they wait for.
    @inline(__always)
    var isEmpty: Bool { state.pointee.waiting.load(ordering: .sequentiallyConsistent) == 0 }

    /// The turn of who comes now.
    @inline(__always)
    var turn: UInt64 { state.pointee.arrivals.load(ordering: .acquiring) }

    /// Times that somebody has waited here.
    var arrivals: UInt64 { turn }

    /// Sleeps until some of `wanted` is granted. Whoever waits counts as waiting before the first look at the room.
    /// - Parameter serve: Serves this queue, in case there has been room already.
    /// - Parameter reasonToGiveUp: Why there is nothing to wait for; looked at with no lock held, before each sleep.
    /// - Returns: How much is granted: at least one.
    func waitForTurn(
        _ turn: UInt64, wanting wanted: Int, serve: () -> Void, reasonToGiveUp: () -> AccessError?
    ) throws(AccessError) -> Int {
        var waiter = Waiter(wanted: wanted, turn: turn)
        return try withUnsafeMutablePointer(to: &waiter) { (waiter) throws(AccessError) -> Int in
            signal(of: waiter).prepare()
            defer { signal(of: waiter).destroy() }
            enter(waiter)
            if !Flaw.noLookAfterEntering.isPlanted { serve() }
            return try sleep(in: waiter, reasonToGiveUp: reasonToGiveUp)
        }
    }

    private func sleep(
        in waiter: UnsafeMutablePointer<Waiter>, reasonToGiveUp: () -> AccessError?
    ) throws(AccessError) -> Int {
        var heard = 0
        while true {
            var error: AccessError?
            if lock.withLock({ waiter.pointee.granted }) == 0 { error = reasonToGiveUp() }
            let granted = leave(waiter, isGivingUp: error != nil, &heard)
            if granted > 0 { return granted }
            if let error { throw error }
            hear(waiter)
            heard += 1
        }
    }

    /// Grants those whose turn it is what `take` can spare, and wakes them.
    /// - Parameter take: Takes up to so much, and says how much it is: 0 where there is none.
    func serve(_ take: (Int) -> Int) {
        lock.lock()
        var admitted: UnsafeMutablePointer<Waiter>?
        var end: UnsafeMutablePointer<Waiter>?
        while let waiter = state.pointee.first {
            let granted = take(waiter.pointee.wanted)
            guard granted > 0 else { break }
            unlink(waiter)
            waiter.pointee.granted = granted
            waiter.pointee.signals += 1
            if let end { end.pointee.next = waiter } else { admitted = waiter }
            end = waiter
        }
        lock.unlock()
        // Not under the lock, which all who wake up take first. A waiter may be gone as soon as its signal is given.
        while let waiter = admitted {
            admitted = waiter.pointee.next
            signal(of: waiter).give()
        }
    }

    /// Lets all who wait look whether there is a reason to give up.
    func wakeAll() {
        lock.lock()
        var waiter = state.pointee.first
        while let waiting = waiter {
            waiter = waiting.pointee.next
            waiting.pointee.signals += 1
            signal(of: waiting).give()
        }
        lock.unlock()
    }

    // MARK: Waiters

    /// Puts the waiter where its turn belongs: behind all that are not later.
    private func enter(_ waiter: UnsafeMutablePointer<Waiter>) {
        lock.lock()
        var before = state.pointee.last
        while let other = before, other.pointee.turn > waiter.pointee.turn { before = other.pointee.previous }
        let after = before == nil ? state.pointee.first : before!.pointee.next
        waiter.pointee.previous = before
        waiter.pointee.next = after
        if let before { before.pointee.next = waiter } else { state.pointee.first = waiter }
        if let after { after.pointee.previous = waiter } else { state.pointee.last = waiter }
        state.pointee.waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        // Counted last: a thread that sees this arrival finds the queue not empty.
        state.pointee.arrivals.wrappingAdd(1, ordering: .releasing)
        lock.unlock()
        // What is looked at next must not have been read before.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// - Returns: What is granted, all signals having been heard; 0 if nothing is: then the waiter is still in the
    ///   queue, unless its owner gives up.
    private func leave(_ waiter: UnsafeMutablePointer<Waiter>, isGivingUp: Bool, _ heard: inout Int) -> Int {
        lock.lock()
        let granted = waiter.pointee.granted
        if granted == 0, isGivingUp { unlink(waiter) }
        let signals = waiter.pointee.signals
        lock.unlock()
        while granted > 0 || isGivingUp, heard < signals {
            hear(waiter)
            heard += 1
        }
        return granted
    }

    private func hear(_ waiter: UnsafeMutablePointer<Waiter>) { signal(of: waiter).hear() }

    private func signal(of waiter: UnsafeMutablePointer<Waiter>) -> Signal {
        Signal(at: waiter.pointer(to: \.signal)!)
    }

    private func unlink(_ waiter: UnsafeMutablePointer<Waiter>) {
        let (previous, next) = (waiter.pointee.previous, waiter.pointee.next)
        if let previous { previous.pointee.next = next } else { state.pointee.first = next }
        if let next { next.pointee.previous = previous } else { state.pointee.last = previous }
        waiter.pointee.previous = nil
        waiter.pointee.next = nil
        state.pointee.waiting.wrappingSubtract(1, ordering: .relaxed)
    }
}
