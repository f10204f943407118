import Glibc

/// Buffers of one size, in which the pieces of a request are put together, because a layer takes one run of memory.
///
/// They are the only memory that an image in a layer takes beside the pager's. Whoever wants one while all are in use
/// waits. A holder waits for nothing but its own call.
///
/// Thread rules: any thread. O(count).
final class StagingBuffers: @unchecked Sendable {
    /// Bytes in each.
    let size: Int
    private let base: UnsafeMutableRawPointer
    private let free: Monitored<UInt64>

    /// - Precondition: `count` is 1 to 64. `size` is a multiple of 4096 bytes.
    init(count: Int, size: Int) {
        precondition((1...64).contains(count) && size > 0 && size % 4096 == 0, "there is no such set of buffers")
        self.size = size
        base = .allocate(byteCount: count * size, alignment: 4096)
        free = Monitored(count == 64 ? .max : (1 << UInt64(count)) - 1)
    }

    deinit { base.deallocate() }

    /// Calls `body` with a buffer that nobody else uses meanwhile. What is in it is not defined.
    func with<Failure>(_ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
        let index = free.wait { free -> Monitored<UInt64>.Wish<Int> in
            guard free != 0 else { return .later(nil) }
            let index = free.trailingZeroBitCount
            free &= free - 1
            return .done(index)
        }
        defer { free.change { $0 |= 1 << UInt64(index) } }
        try body(UnsafeMutableRawBufferPointer(start: base + index * size, count: size))
    }
}
