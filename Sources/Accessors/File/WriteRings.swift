import CLinux
import Glibc
import Paging
import Synchronization

/// The rings that submit the writes of images, several at once: see LinuxRing.h.
///
/// They belong to a process and serve all its images. They are made when the first client comes that may write an
/// image: after the fork and before the first write. If the kernel
/// lacks rings, or forbids them, there are none, and writes are done one by one.
///
/// Thread rules: any thread. A call takes a ring that nobody uses; if all are in use it gets none. No lock, and no
/// allocation except in `prepare`.
public final class WriteRings: @unchecked Sendable {
    /// The number of rings: one for each thread of the Writeback's crew, and some for flushes.
    private static let count = 8

    private let rings: UnsafeMutablePointer<linux_ring>
    /// One bit for each ring that is made and not in use.
    private let free = Atomic<UInt32>(0)
    /// The bits of all rings that are made.
    private let made = Atomic<UInt32>(0)
    private let isPrepared = Atomic<Bool>(false)

    public init() { rings = .allocate(capacity: WriteRings.count) }

    deinit {
        let made = made.load(ordering: .relaxed)
        for index in 0..<WriteRings.count where made & 1 << UInt32(index) != 0 { linux_ring_close(rings + index) }
        rings.deallocate()
    }

    /// Whether the kernel has rings, and permits them to this process. Makes one and closes it.
    public static func areAvailable() -> Bool {
        var ring = linux_ring()
        guard linux_ring_open(&ring, UInt32(WriteOut.maxCount)) == 0 else { return false }
        linux_ring_close(&ring)
        return true
    }

    /// The number of rings that are made.
    var count: Int { made.load(ordering: .relaxed).nonzeroBitCount }

    /// Makes the rings, if that has not been tried before.
    func prepare() {
        guard !isPrepared.exchange(true, ordering: .acquiringAndReleasing) else { return }
        for index in 0..<WriteRings.count {
            guard linux_ring_open(rings + index, UInt32(WriteOut.maxCount)) == 0 else { break }
            made.bitwiseOr(1 << UInt32(index), ordering: .relaxed)
            free.bitwiseOr(1 << UInt32(index), ordering: .releasing)
        }
    }

    /// Does `writes` at once, on `descriptor`, if there is a ring for it.
    /// - Returns: False if nothing has been done.
    func write(_ writes: UnsafeMutableBufferPointer<linux_ring_write>, on descriptor: Int32) -> Bool {
        guard let index = take() else { return false }
        linux_ring_write(rings + index, descriptor, writes.baseAddress, UInt32(writes.count))
        free.bitwiseOr(1 << UInt32(index), ordering: .releasing)
        return true
    }

    /// A ring that now belongs to the caller, or nil.
    private func take() -> Int? {
        var bits = free.load(ordering: .relaxed)
        while bits != 0 {
            let bit = bits & (~bits &+ 1)
            let (exchanged, original) = free.weakCompareExchange(
                expected: bits, desired: bits & ~bit, ordering: .acquiring)
            if exchanged { return bit.trailingZeroBitCount }
            bits = original
        }
        return nil
    }
}
