import CLinux
import Glibc
import Paging
import Synchronization

/// Reads whose callers stay awake until they are done.
///
/// **Why.** A fast disk reads a page in less time than it takes to put a processor to sleep and to wake it again, above
/// all in a virtual machine. A client that waits for each answer before it asks again pays for that with every miss.
///
/// **When.** Only the read that is alone: with several under way, the processors have other work, and a read that polls
/// takes it from them. And only as long as it helps. If a read failed or was not done within `patience`, or the thread
/// was away from its processor because others needed it, the next ones sleep as usual. Each time that happens again,
/// twice as many do:
///
///     polling ── note: done while awake ──▶ polling
///     polling ── note: had to sleep ──▶ resting ── isTurn, after 2ⁿ lone reads ──▶ polling, with n + 1
///
/// So on a slow disk, and on busy processors, one lone read of a thousand polls, for `patience` at the most.
///
/// **Costs.** While a lone read is under way, a processor that would be idle is not. Two atomic additions a read.
///
/// **Threads.** Any thread; no lock. Nothing is allocated except in `prepare`.
final class PolledReads: @unchecked Sendable {
    /// How long a read is waited for awake. A disk that takes longer gains little from it. An interrupt takes up to
    /// ten microseconds of its own; a thread that others have displaced is away for longer.
    private static let patience = linux_ring_patience(most: 100_000, most_away: 30_000)
    /// Bytes in the longest read that polls. Longer ones take longer than `patience`.
    private static let maxLength: Int64 = 32 << 10
    /// The maximum of `sleeps`: 1024 lone reads rest then.
    private static let maxSleeps: UInt32 = 10

    private let ring: UnsafeMutablePointer<linux_ring>
    private let isPrepared = Atomic<Bool>(false)
    /// A ring is there, and nobody uses it.
    private let isFree = Atomic<Bool>(false)
    /// Reads that are under way, polled or not.
    private let underWay = Atomic<Int>(0)
    /// Lone reads that will not poll.
    private let pause = Atomic<UInt32>(0)
    /// How often in a row a read that polled has slept after all.
    private let sleeps = Atomic<UInt32>(0)

    init() { ring = .allocate(capacity: 1) }

    deinit {
        if isFree.load(ordering: .acquiring) { linux_ring_close(ring) }
        ring.deallocate()
    }

    /// Makes the ring, if that has not been tried before: after the fork, and before the first read. There is none if
    /// the kernel has no rings, or if there is one processor only, which others need.
    func prepare() {
        guard !isPrepared.exchange(true, ordering: .acquiringAndReleasing) else { return }
        guard sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1, linux_ring_open(ring, 1) == 0 else { return }
        isFree.store(true, ordering: .releasing)
    }

    /// Whether there is a ring that nobody uses.
    var hasRing: Bool { isFree.load(ordering: .relaxed) }

    /// A read begins. Call `end` as often.
    /// - Parameter length: Bytes.
    /// - Returns: Whether it polls: then do it with `read`.
    func begin(_ length: Int64) -> Bool {
        let others = underWay.add(1, ordering: .relaxed).oldValue
        return others == 0 && length <= Self.maxLength && hasRing && isTurn()
    }

    func end() {
        let before = underWay.subtract(1, ordering: .relaxed).oldValue
        assert(before > 0, "no read is under way")
    }

    /// Reads as preadv2 does.
    /// - Returns: Bytes; nil if the caller has to read: somebody else has the ring, the read failed, or it would have
    ///   to wait for more than the disk. Some filesystems refuse all such reads (EOPNOTSUPP).
    func read(_ descriptor: Int32, _ pieces: UnsafePointer<iovec>, _ count: Int32, _ offset: Int64) -> Int? {
        guard isFree.exchange(false, ordering: .acquiring) else { return nil }
        var wasAwake = false
        let result = linux_ring_read(ring, descriptor, pieces, UInt32(count), offset, Self.patience, &wasAwake)
        isFree.store(true, ordering: .releasing)
        note(wasAwake: wasAwake && result >= 0)
        return result >= 0 ? Int(result) : nil
    }

    /// Whether a lone read polls, after those that rest. Only the lone read calls it, so it may read and then write.
    private func isTurn() -> Bool {
        let left = pause.load(ordering: .relaxed)
        if left > 0 { pause.store(left - 1, ordering: .relaxed) }
        return left == 0
    }

    /// A read that polled is done: whether while its thread was awake.
    func note(wasAwake: Bool) {
        guard !wasAwake else { return sleeps.store(0, ordering: .relaxed) }
        let count = min(sleeps.load(ordering: .relaxed) + 1, Self.maxSleeps)
        sleeps.store(count, ordering: .relaxed)
        pause.store(1 << count, ordering: .relaxed)
    }
}
