import Glibc
import Testing

@testable import Paging

/// What a miss reads, and what it leaves behind.
@Suite struct FillTests {
    /// A miss over several flexpages is one vectored read, exactly as wide as the request.
    @Test func aMissIsOneRead() throws {
        let rig = try Rig(memory: 16 << 20, image: MemoryImage(size: 4 << 20))
        #expect(try rig.reads(300_000, at: 5000))
        #expect(rig.image.reads.load(ordering: .relaxed) == 1)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 305_000 / 4096)
        #expect(try rig.reads(300_000, at: 5000))
        #expect(rig.image.reads.load(ordering: .relaxed) == 1, "a resident page is not read again")
        #expect(rig.pages.counters.misses == UInt64(305_000 / 4096))
        try rig.end()
    }

    /// Gaps between resident pages are read, and nothing else is.
    @Test func onlyWhatIsMissingIsRead() throws {
        let rig = try Rig(memory: 16 << 20, image: MemoryImage(size: 4 << 20))
        for page in stride(from: 0, to: 64, by: 4) as StrideTo<Int64> {
            try rig.pager.populate(page * 4096..<(page + 1) * 4096)
        }
        #expect(try rig.reads(64 * 4096, at: 0))
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 64)
        try rig.end()
    }

    /// If memory is whole, flexpages are as large as alignment and the range allow, up to 1 MiB.
    @Test(arguments: 0...8) func flexpagesAreAsLargeAsTheyCan(order: Int) throws {
        let rig = try Rig(memory: 16 << 20, image: MemoryImage(size: 4 << 20))
        let bytes = Int64(4096) << Int64(order)
        try rig.pager.populate(bytes..<2 * bytes)
        let id = try #require(rig.flexpage(at: 1 << UInt64(order)))
        #expect(Int(rig.pages.table[id].pointee.order) == order)
        try rig.end()
    }

    /// If memory is in pieces smaller flexpages serve, and every byte is right all the same.
    @Test func smallerRegionsServe() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 4 << 20))
        var taken: [Region] = []
        while let region = rig.pages.memory.take(order: 0) { taken.append(region) }
        for region in taken where region.first % 2 == 0 { rig.pages.memory.give(region) }
        #expect(try rig.reads(256 << 10, at: 0))
        for page in 0..<64 as Range<UInt64> {
            let id = try #require(rig.flexpage(at: page))
            #expect(rig.pages.table[id].pointee.order == 0)
        }
        for region in taken where region.first % 2 == 1 { rig.pages.memory.give(region) }
        try rig.end()
    }

    /// A failed fill publishes nothing and gives all its memory back (invariant 6).
    @Test func aFailedFillLeavesNothing() throws {
        let faults = Faults(badPages: Set(0..<64))
        let rig = try Rig(image: MemoryImage(size: 1 << 20, faults: faults))
        #expect(rig.readError(64 * 4096, at: 0) == AccessError(EIO))
        for page in 0..<64 as Range<UInt64> { #expect(rig.flexpage(at: page) == nil) }
        #expect(rig.pages.memory.freeFrames == rig.frames)
        #expect(rig.pages.leaves.used == 0)
        rig.pages.checkInvariants(isQuiet: true)
        #expect(rig.pages.counters.failedFills > 0)
        rig.image.heal()
        #expect(try rig.reads(64 * 4096, at: 0))
        try rig.end()
    }
}
