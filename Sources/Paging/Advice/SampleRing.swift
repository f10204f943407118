import Synchronization

/// Samples on their way from the data path to the Advisor: a bounded queue without locks, of many writers and one
/// reader.
///
/// A writer claims a slot by moving `head` on, and stores the sample. If the reader is a whole ring behind, the sample
/// is dropped and counted: no thread of the data path ever waits. The reader stops at a slot that has been claimed and
/// not stored yet.
///
///     empty (0) ── push: head moves on, then the store ──▶ full ── pop: 0 is stored, then tail moves on ──▶ empty
///
/// Thread rules: `push` on any thread, with any lock held. `pop` under the Advisor's lock. O(1), no system call. The
/// atomics are the system's in a scheduled build too: what is sampled decides nothing there.
struct SampleRing: @unchecked Sendable {
    private let header: UnsafeMutablePointer<Header>
    private let slots: UnsafeMutablePointer<Synchronization.Atomic<UInt64>>
    let capacity: Int

    struct Header: ~Copyable {
        let head = Synchronization.Atomic<UInt64>(0)
        let dropped = Synchronization.Atomic<UInt64>(0)
        // The reader's line is another one.
        private let padding = InlineArray<6, UInt64>(repeating: 0)
        let tail = Synchronization.Atomic<UInt64>(0)
    }

    /// - Parameter capacity: A power of two.
    init(capacity: Int, _ carver: inout Carver) {
        assert(capacity.nonzeroBitCount == 1, "positions are masked")
        self.capacity = capacity
        header = carver.carve(Header.self, 1)
        slots = carver.carve(Synchronization.Atomic<UInt64>.self, capacity)
    }

    /// Makes the header. The slots are zero already.
    func prepare() { header.initialize(to: Header()) }

    @inline(__always)
    private func slot(_ position: UInt64) -> UnsafeMutablePointer<Synchronization.Atomic<UInt64>> {
        slots + Int(truncatingIfNeeded: position & UInt64(capacity &- 1))
    }

    func push(_ sample: Sample) {
        var position = header.pointee.head.load(ordering: .relaxed)
        while true {
            guard position &- header.pointee.tail.load(ordering: .acquiring) < UInt64(capacity) else {
                header.pointee.dropped.wrappingAdd(1, ordering: .relaxed)
                return
            }
            let (exchanged, original) = header.pointee.head.weakCompareExchange(
                expected: position, desired: position &+ 1, ordering: .relaxed)
            if exchanged { break }
            position = original
        }
        slot(position).pointee.store(sample.raw, ordering: .releasing)
    }

    /// The oldest sample; nil if there is none, or it is not stored yet.
    func pop() -> Sample? {
        let position = header.pointee.tail.load(ordering: .relaxed)
        let raw = slot(position).pointee.load(ordering: .acquiring)
        guard raw != 0 else { return nil }
        slot(position).pointee.store(0, ordering: .relaxed)
        header.pointee.tail.store(position &+ 1, ordering: .releasing)
        return Sample(raw: raw)
    }

    /// Samples that were dropped because the ring was full.
    var dropped: UInt64 { header.pointee.dropped.load(ordering: .relaxed) }
}
