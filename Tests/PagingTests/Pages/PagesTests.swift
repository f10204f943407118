import Glibc
import Testing

@testable import Paging

/// Pages gets memory for each request, from the arena or by recycling, and never more than there is.
@Suite struct PagesTests {
    /// Too little and too much memory are refused with the right error. The minimum is enough to read with.
    @Test func memoryHasItsBounds() throws {
        #expect(throws: AccessError(EINVAL)) { _ = try Pages(memory: Pages.minMemory - 1) }
        #expect(throws: AccessError(EINVAL)) { _ = try Pages(memory: Pages.maxMemory + 1) }
        let rig = try Rig(memory: Pages.minMemory, image: PatternImage(size: 3 << 20))
        #expect(try rig.reads(3 << 20, at: 0))
        try rig.end()
    }

    /// Reading many times the memory recycles. Bytes in use never exceed the bound. Each base page is read once in one
    /// pass, because nothing that a request still needs is recycled under it.
    @Test(arguments: [Pages.minMemory, 2 << 20 | 12345, 8 << 20]) func recyclesWithinTheBound(memory: Int) throws {
        let rig = try Rig(memory: memory, image: PatternImage(size: 64 << 20))
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
        let rig = try Rig(memory: 2 << 20, image: PatternImage(size: 64 << 20))
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
        let rig = try Rig(memory: 8 << 20, image: PatternImage(size: 4 << 20))
        #expect(try rig.reads(10 * 4096, at: 0))
        #expect(rig.pages.counters.misses == 10 && rig.pages.counters.hits == 0)
        #expect(try rig.reads(10 * 4096, at: 0))
        #expect(rig.pages.counters.misses == 10 && rig.pages.counters.hits == 10)
        #expect(rig.pages.counters.fills == 1 && rig.pages.counters.failedFills == 0)
        try rig.end()
    }

    /// Whoever wants to hears of each page that is recycled, of two images and in flexpages of any size. Then it is not
    /// in memory, and every other page that was read still is.
    @Test func tellsWhatIsRecycled() throws {
        struct Name: Hashable {
            let image: UInt16
            let page: UInt64
        }
        let heard = Guarded<(pages: [Name], ofMain: Int)>(([], 0))
        let pages = try Pages(
            memory: Pages.memory(forFrames: 512), readahead: 0,
            recycled: { range, image, isFromMain in
                heard.withLock {
                    $0.pages += range.map { Name(image: image, page: $0) }
                    if isFromMain { $0.ofMain += 1 }
                }
            })
        let registry = ProviderRegistry(pages: pages)
        let pagers = try (1...2).map { number in
            Pager(try registry.open(ImageIdentity(device: 1, inode: number)) { NullImage(size: 64 << 20) })
        }
        var resident: Set<Name> = []
        func read(_ range: Range<UInt64>, of pager: Pager) throws {
            try pager.populate(BasePage.offset(of: range.lowerBound)..<BasePage.offset(of: range.upperBound))
            // A request that is larger than what is free recycles first, never what it has just read.
            let gone = heard.withLock { heard in
                defer { heard.pages = [] }
                return heard.pages
            }
            #expect(gone.allSatisfy { resident.remove($0) != nil }, "what is recycled was there")
            resident.formUnion(range.map { Name(image: pager.provider.image, page: $0) })
        }
        for step in 0..<2000 as Range<UInt64> {
            let (first, count) = (step * step % 1009 * 8, UInt64(1) << (step % 5))
            try read(first..<first + count, of: pagers[step % 3 == 0 ? 1 : 0])
            // A hot set, which changes, so that main has pages to give.
            for index in 3 * step..<3 * step + 3 {
                let page = 9000 + step / 200 * 60 + index % 60
                try read(page..<page + 1, of: pagers[0])
            }
        }
        let recycles = pages.counters.recycles
        let ofMain = heard.withLock { $0.ofMain }
        #expect(recycles > 100 && ofMain > 0 && ofMain < recycles, "both queues have given pages")
        for pager in pagers {
            let image = pager.provider.image
            let map = pages.accessMap(ofImage: image)
            let differing = (0..<UInt64(16 << 10)).filter {
                (map.flexpage(at: $0) != .none) != resident.contains(Name(image: image, page: $0))
            }
            #expect(differing == [])
        }
        for pager in pagers { try registry.close(pager.provider) }
    }
}
