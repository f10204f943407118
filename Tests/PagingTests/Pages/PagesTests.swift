import Glibc
import Testing

@testable import Paging

/// Pages gets memory for each request, from the arena or by recycling, and never more than there is.
@Suite struct PagesTests {
    /// Too little and too much memory are refused with the right error. The minimum is enough to read with.
    @Test func memoryHasItsBounds() throws {
        #expect(throws: AccessError(EINVAL)) { _ = try Pages(memory: Pages.minMemory - 1) }
        #expect(throws: AccessError(EINVAL)) { _ = try Pages(memory: Pages.maxMemory + 1) }
        let rig = try Rig(memory: Pages.minMemory, image: MemoryImage(size: 3 << 20))
        #expect(try rig.reads(3 << 20, at: 0))
        try rig.end()
    }

    /// Reading many times the memory recycles. Bytes in use never exceed the bound. Each base page is read once in one
    /// pass, because nothing that a request still needs is recycled under it.
    @Test(arguments: [Pages.minMemory, 2 << 20 | 12345, 8 << 20]) func recyclesWithinTheBound(memory: Int) throws {
        let rig = try Rig(memory: memory, image: MemoryImage(size: 64 << 20))
        let scratch = TestBuffer(1 << 20)
        for chunk in 0..<64 as Range<Int64> {
            let buffer = scratch.buffer(1 << 20)
            try rig.pager.read(into: buffer, at: chunk << 20)
            #expect(scratch.holds(buffer, rig.image.pattern, at: chunk << 20))
        }
        let counters = rig.pages.counters
        #expect(counters.peakBytesInUse <= UInt64(memory))
        #expect(counters.recycles > 0)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 64 * 256)
        try rig.end()
    }

    /// Pages used again and again stay when a scan of many times the memory comes by.
    @Test func aScanDoesNotWashOut() throws {
        let rig = try Rig(memory: 2 << 20, image: MemoryImage(size: 64 << 20))
        let working: [Int64] = (0..<60).map { $0 * 4096 }
        func use() throws { for offset in working { try rig.pager.populate(offset..<offset + 1) } }
        for page in 0..<4096 as Range<Int64> {
            try rig.pager.populate(1 << 20 | page << 12..<(1 << 20 | page << 12) + 1)
            if page % 100 == 0 { try use() }
        }
        let before = rig.image.reads.load(ordering: .relaxed)
        try use()
        #expect(rig.image.reads.load(ordering: .relaxed) == before, "the working set was resident")
        try rig.end()
    }

    /// A hit is counted for each base page, a miss for each that had to be read, and nothing twice.
    @Test func countsHitsAndMisses() throws {
        let rig = try Rig(memory: 8 << 20, image: MemoryImage(size: 4 << 20))
        #expect(try rig.reads(10 * 4096, at: 0))
        #expect(rig.pages.counters.misses == 10 && rig.pages.counters.hits == 0)
        #expect(try rig.reads(10 * 4096, at: 0))
        #expect(rig.pages.counters.misses == 10 && rig.pages.counters.hits == 10)
        #expect(rig.pages.counters.fills == 1 && rig.pages.counters.failedFills == 0)
        try rig.end()
    }
}
