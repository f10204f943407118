import CReferences
import Glibc
import TestSupport
import Testing

@testable import Paging

/// A hit retains and releases nothing. A reference count that all threads share is a cache line that they take from
/// each other with every request. Stand-ins for the functions of Swift's runtime count thread by thread, so that what
/// other tests do meanwhile does not count.
@Suite(.ifOptimised, .enabled(if: references_are_counted() != 0, "not counted under a sanitizer"))
struct ReferenceTests {
    private func references(_ body: () throws -> Void) rethrows -> UInt {
        let before = references_of_this_thread()
        try body()
        return references_of_this_thread() - before
    }

    private final class Thing {}

    /// The counter counts.
    @Test func referencesAreSeen() {
        let thing = Unmanaged.passRetained(Thing())
        #expect(references { _ = thing.retain() } == 1)
        #expect(references { thing.release() } == 1)
        thing.release()
    }

    /// Ten thousand hits, of a page, of parts of pages and of many pages.
    @Test func hitsCountNothing() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 1 << 20))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        try rig.pager.populate(0..<1 << 20)
        let pager = rig.pager
        let hits = rig.pages.counters.hits
        var random = SplitMix64(seed: 1)
        let count = try references {
            for _ in 0..<10_000 {
                let length = random.once(in: 100) ? 1 << 18 : random.pick(1...8192)
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
                try pager.read(into: part, at: random.place(below: Int64((1 << 20) - length)))
            }
        }
        #expect(count == 0)
        #expect(rig.pages.counters.hits - hits > 10_000)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 256)
        try rig.end()
    }

    /// Populating resident pages, as a client's cache request does.
    @Test func populatingWhatIsResidentCountsNothing() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 1 << 20))
        try rig.pager.populate(0..<1 << 20)
        let pager = rig.pager
        let count = try references {
            for page in 0..<256 as Range<Int64> { try pager.populate(page << 12..<1 << 20) }
        }
        #expect(count == 0)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 256)
        try rig.end()
    }

    /// Reads of known zeroes, which no flexpage covers.
    @Test func hitsOfZeroesCountNothing() throws {
        let rig = try PagingRig(image: QuietImage(size: 1 << 20))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)
        defer { buffer.deallocate() }
        try rig.pager.zero(0..<1 << 20, mayTrim: true, onlyIfFast: false, forced: true)
        let pager = rig.pager
        let count = try references {
            for part in 0..<1000 as Range<Int64> { try pager.read(into: buffer, at: part % 16 << 16) }
        }
        #expect(count == 0)
        #expect(rig.pages.counters.zeroHits >= 1000)
        try rig.end()
    }
}
