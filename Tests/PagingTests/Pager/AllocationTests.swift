import CAllocations
import Glibc
import TestSupport
import Testing

@testable import Paging

/// The data path allocates nothing once serving has begun (invariant 8). A stand-in for malloc counts thread by thread,
/// so that what other tests do meanwhile does not count. A sanitizer has a malloc of its own; nothing is counted then.
@Suite(.enabled(if: allocations_are_counted() != 0, "a sanitizer has its own malloc"))
struct AllocationTests {
    /// The number of allocations by `body`, after a first run in which the runtime may prepare itself.
    private func allocations(_ body: () throws -> Void) rethrows -> UInt {
        try body()
        let before = allocations_of_this_thread()
        try body()
        return allocations_of_this_thread() - before
    }

    /// The counter counts.
    @Test func allocationsAreSeen() {
        #expect(allocations { free(Self.hundredBytes()) } == 1)
    }

    /// On its own, because the optimiser may remove an allocation that is freed at once.
    @inline(never)
    private static func hundredBytes() -> UnsafeMutableRawPointer? { malloc(100) }

    /// Ten thousand hits, of a page, of parts of pages and of many pages.
    @Test func hitsAllocateNothing() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 1 << 20))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        try rig.pager.populate(0..<1 << 20)
        var random = SplitMix64(seed: 1)
        let count = try allocations {
            for _ in 0..<10_000 {
                let length = random.once(in: 100) ? 1 << 18 : random.pick(1...8192)
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
                try rig.pager.read(into: part, at: random.place(below: Int64((1 << 20) - length)))
            }
        }
        #expect(count == 0)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 256)
        try rig.end()
    }

    /// Misses and recycling: an image read end to end through much less memory.
    @Test(.ifOptimised) func missesAllocateNothing() throws {
        let rig = try PagingRig(image: QuietImage(size: 8 << 20))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
        defer { buffer.deallocate() }
        let count = try allocations {
            for part in 0..<32 as Range<Int64> { try rig.pager.read(into: buffer, at: part << 18) }
        }
        #expect(count == 0)
        #expect(rig.pages.counters.recycles > 0)
        try rig.end()
    }

    /// Writes, flushes, zeroes and trims.
    @Test(.ifOptimised) func writesAllocateNothing() throws {
        let rig = try PagingRig(image: QuietImage(size: 8 << 20))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
        defer { buffer.deallocate() }
        let whole = UnsafeRawBufferPointer(buffer)
        let odd = UnsafeRawBufferPointer(rebasing: whole[..<5000])
        let count = try allocations {
            for part in 0..<24 as Range<Int64> {
                try rig.pager.write(from: odd, at: part << 18 | 777, forced: part % 5 == 0)
                try rig.pager.flush()
                try rig.pager.write(from: whole, at: part << 18, forced: false)
                try rig.pager.flush()
            }
            try rig.pager.zero(4097..<1 << 20, mayTrim: true, onlyIfFast: false, forced: true)
            try rig.pager.trim(1 << 20..<3 << 20, forced: false)
            try rig.pager.flush()
        }
        #expect(count == 0)
        try rig.end()
    }
}
