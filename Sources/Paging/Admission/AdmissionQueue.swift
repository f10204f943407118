import Glibc
import Synchronization

/// Writers that wait until they may make more pages dirty, in the order of their arrival.
///
///     (fast path) ── no room, or others wait ──▶ waiting ── serve: it is first, and there is room ──▶ admitted
///                                                   └── waitForTurn: there is a reason to give up ──▶ gone
///
/// Each writer has a turn: the number of writers that had come to wait when its write began. The queue is in the order
/// of turns. Suppose a writer was admitted, gave that back to wait for something else, and comes again. It is still
/// before all writers that came after it. So only a finite number of writers is ever before it, and that number never
/// grows. No writer starves, and giving back costs no place.
///
/// A thread that makes room serves the queue: it grants the first writer what there is room for, then the next, and
/// wakes only those. Writers that only a limit of their own image stops are passed over: what others are granted is not
/// theirs. The record of a waiting writer lies on its own stack. So nothing is allocated, and there is room
/// for all.
///
/// Thread rules: any thread; a thread that waits here holds nothing (invariant 9). `lock` is innermost: the closures
/// that grant room take no other lock, and reasons to give up are asked for without it. O(1), except for a writer that
/// comes again: O(waiting writers).
struct AdmissionQueue: @unchecked Sendable {
    private let lock: Lock
    private let state: UnsafeMutablePointer<State>

    private struct State: ~Copyable {
        /// Ends of the queue, under `lock`. Before the atomics, which are used without it.
        var first: UnsafeMutablePointer<Waiter>?
        var last: UnsafeMutablePointer<Waiter>?
        let waiting = Atomic<Int>(0)
        /// How many writers have come to wait so far.
        let arrivals = Atomic<UInt64>(0)
    }

    /// A writer that waits. The queue's lock guards all of it except the semaphore.
    private struct Waiter {
        let wanted: Int
        let image: UnsafeMutableRawPointer
        let turn: UInt64
        var granted = 0
        /// Signals that have been given or are about to be. The waiter's memory must stay until it has heard them all.
        var signals = 0
        var signal = sem_t()
        var previous: UnsafeMutablePointer<Waiter>?
        var next: UnsafeMutablePointer<Waiter>?
    }

    /// There is no room for this image, though there may be for others.
    static let notForThis = -1

    /// - Parameter mutex: Memory for the lock.
    init(mutex: UnsafeMutablePointer<pthread_mutex_t>) {
        lock = Lock(in: mutex)
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    func destroy() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Whether no writer waits. Exact after a sequentially consistent change of what writers wait for.
    @inline(__always)
    var isEmpty: Bool { state.pointee.waiting.load(ordering: .sequentiallyConsistent) == 0 }

    /// The turn of a writer that comes now.
    @inline(__always)
    var turn: UInt64 { state.pointee.arrivals.load(ordering: .acquiring) }

    /// How many times a writer has waited here.
    var arrivals: UInt64 { turn }

    /// Sleeps until some of `wanted` is granted. The writer counts as waiting before the room is looked at for the
    /// first time.
    /// - Parameter image: What `take` in `serve` is given for this writer.
    /// - Parameter serve: Serves this queue, in case there is room already.
    /// - Parameter reasonToGiveUp: Why there is nothing to wait for, or nil. Called with no lock held, before each
    ///   sleep.
    /// - Returns: How much is granted, at least one.
    func waitForTurn(
        _ turn: UInt64, wanting wanted: Int, of image: UnsafeMutableRawPointer, serve: () -> Void,
        reasonToGiveUp: () -> AccessError?
    ) throws(AccessError) -> Int {
        assert(wanted > 0, "a writer waits for something")
        var waiter = Waiter(wanted: wanted, image: image, turn: turn)
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

    /// Grants room to the first writers, as far as `take` finds some, and wakes them.
    /// - Parameter take: Takes up to a given amount of room for an image, and returns how much: 0 if there is none for
    ///   any, `notForThis` if there is none for this image. O(1) beside the writers that are passed over.
    func serve(_ take: (Int, UnsafeMutableRawPointer) -> Int) {
        lock.lock()
        var admitted: UnsafeMutablePointer<Waiter>?
        var end: UnsafeMutablePointer<Waiter>?
        var next = state.pointee.first
        while let waiter = next {
            next = waiter.pointee.next
            let granted = take(waiter.pointee.wanted, waiter.pointee.image)
            assert(granted <= waiter.pointee.wanted, "no writer is granted more than it wants")
            if granted == AdmissionQueue.notForThis { continue }
            guard granted > 0 else { break }
            unlink(waiter)
            waiter.pointee.granted = granted
            waiter.pointee.signals += 1
            if let end { end.pointee.next = waiter } else { admitted = waiter }
            end = waiter
        }
        lock.unlock()
        // Signal without the lock, because every thread that wakes up takes it first. A waiter may be gone as soon as
        // its signal is given.
        while let waiter = admitted {
            admitted = waiter.pointee.next
            signal(of: waiter).give()
        }
    }

    /// Wakes all writers that wait, so that they look for a reason to give up.
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

    /// Puts the waiter where its turn belongs: behind all waiters whose turn is not later.
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
        // What the caller looks at next must not have been read earlier.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Takes the waiter out of the queue if it gives up, and hears its signals if it is granted something or gives up.
    /// - Returns: What is granted. If that is 0, the waiter is still in the queue, unless it gives up.
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
