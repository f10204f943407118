import Glibc
import Testing

@testable import Paging

/// One dirty base page keeps only one frame from being recycled, not all frames of the large flexpage that it was read
/// with.
@Suite struct SplittingTests {
    private static let chunkBytes = 1 << 20

    /// Writes to every kind of part of a 1 MiB flexpage. The pages around them stay clean and can be recycled, and
    /// every byte is what it was or what was written.
    @Test(arguments: [0..<1, 255..<256, 37..<38, 8..<16, 1..<255, 100..<131] as [Range<UInt64>])
    func whatIsAroundAWriteIsRecycled(written: Range<UInt64>) throws {
        let rig = try PagingRig(memory: 16 << 20, image: HookedImage(size: 4 << 20))
        try rig.pager.populate(0..<Int64(Self.chunkBytes))
        #expect(rig.flexpage(at: 0) == rig.flexpage(at: 255))
        try rig.write(7, count: written.count * BasePage.size, at: BasePage.offset(of: written.lowerBound))
        rig.pages.checkInvariants(isQuiet: true)
        rig.recycleAll()
        #expect(rig.pages.memory.freeFrames == rig.frames - written.count)
        for page in 0..<256 as Range<UInt64> {
            #expect((rig.flexpage(at: page) != nil) == written.contains(page))
        }
        for page in 0..<256 as Range<UInt64> {
            #expect(try firstByte(rig, ofPage: page) == (written.contains(page) ? 7 : 0xEE))
        }
        try rig.pager.flush()
        try rig.end()
    }

    /// A write of less than a base page dirties that page alone, and the rest of the page keeps its bytes.
    @Test func aFewBytesSplitToo() throws {
        let rig = try PagingRig(memory: 16 << 20, image: HookedImage(size: 4 << 20))
        try rig.pager.populate(0..<Int64(Self.chunkBytes))
        try rig.write(7, count: 10, at: 5 * 4096 + 100)
        #expect(rig.pages.dirtyLimit.pages == 1)
        rig.recycleAll()
        #expect(rig.pages.memory.freeFrames == rig.frames - 1)
        #expect(try firstByte(rig, ofPage: 5) == 0xEE)
        try rig.pager.flush()
        try rig.end()
    }

    /// Memory is full of large flexpages, one page of each is dirty, and the image accepts no writes for now. Reads of
    /// what is not resident go on all the same (invariant 9).
    @Test func readsGoOnWhileScatteredWritesAreStuck() throws {
        let gate = Gate()
        let rig = try PagingRig(
            memory: 8 << 20,
            image: HookedImage(size: 64 << 20) { call, _ in
                if call == .writeOut { gate.pass() }
                return nil
            })
        let chunks = rig.frames / 256
        try rig.pager.populate(0..<Int64(chunks * Self.chunkBytes))
        for chunk in 0..<Int64(chunks) { try rig.write(7, count: 4096, at: chunk << 20 | 11 * 4096) }
        let flushing = Thread.start { try? rig.pager.flush() }
        try Watchdog.guarding("reads go on while scattered writes are stuck") { () throws in
            Thread.wait { gate.arrivals > 0 }
            for page in stride(from: UInt64(16 << 8), to: 64 << 8, by: 3) {
                #expect(try firstByte(rig, ofPage: page) == 0xEE)
            }
            gate.open()
            pthread_join(flushing, nil)
        }
        for chunk in 0..<UInt64(chunks) { #expect(rig.image.byte(ofPage: chunk << 8 | 11) == 7) }
        try rig.end()
    }

    /// A zero or trim leaves an edge of a flexpage at either end or both, dirty or not. It keeps that edge and frees
    /// the rest, of any size.
    @Test(arguments: [0..<255, 1..<256, 1..<255, 100..<101, 64..<128] as [Range<UInt64>], [true, false])
    func whatIsInsideOfAZeroIsFreed(zeroed: Range<UInt64>, isDirty: Bool) throws {
        let rig = try PagingRig(memory: 16 << 20, image: HookedImage(size: 4 << 20))
        try rig.write(7, count: Self.chunkBytes, at: 0)
        if !isDirty { try rig.pager.flush() }
        #expect(rig.order(0) == 8, "the chunk is one flexpage")
        let bytes = BasePage.offset(of: zeroed.lowerBound)..<BasePage.offset(of: zeroed.upperBound)
        if zeroed.count % 2 == 0 {
            try rig.pager.trim(bytes, forced: false)
        } else {
            try rig.pager.zero(bytes, mayTrim: true, onlyIfFast: false, forced: false)
        }
        let left = 256 - zeroed.count
        #expect(rig.pages.memory.freeFrames == rig.frames - left)
        #expect(rig.pages.dirtyLimit.pages == (isDirty ? left : 0))
        rig.pages.checkInvariants(isQuiet: true)
        for page in 0..<256 as Range<UInt64> {
            #expect((rig.flexpage(at: page) != nil) != zeroed.contains(page))
            #expect(try firstByte(rig, ofPage: page) == (zeroed.contains(page) ? 0 : 7))
        }
        try rig.pager.flush()
        for page in 0..<256 as Range<UInt64> {
            #expect(rig.image.byte(ofPage: page) == (zeroed.contains(page) ? 0 : 7))
        }
        try rig.end()
    }

    /// A large flexpage with one page that could not be written out keeps no more memory than that page. Writes and
    /// reads go on in sixteen times as much as there is.
    @Test func onlyWhatFailedKeepsMemory() throws {
        let rig = try PagingRig(
            memory: 4 << 20,
            image: HookedImage(size: 64 << 20) { call, pages in
                call == .writeOut && pages.contains { $0 % 256 == 100 } ? AccessError(ENOSPC) : nil
            })
        try Watchdog.guarding("only what failed keeps memory") { () throws in
            for chunk in 0..<64 as Range<Int64> {
                try rig.write(7, count: Self.chunkBytes, at: chunk << 20)
                #expect(throws: AccessError(ENOSPC)) { try rig.pager.flush() }
            }
            #expect(rig.pages.dirtyLimit.pages == 64)
            for page in 0..<64 << 8 as Range<UInt64> where page % 256 != 100 {
                #expect(try firstByte(rig, ofPage: page) == 7)
            }
        }
        rig.pages.checkInvariants(isQuiet: true)
        for chunk in 0..<64 as Range<UInt64> { #expect(rig.order(chunk << 8 | 100) == 0) }
        try rig.pager.trim(0..<64 << 20, forced: false)
        try rig.end()
    }

    /// The same if a reader had it at that time: it is split when memory is short.
    @Test func whatCouldNotBeSplitIsSplitWhenMemoryIsShort() throws {
        let rig = try PagingRig(
            memory: 16 << 20,
            image: HookedImage(size: 4 << 20) { call, pages in
                call == .writeOut && pages.contains { $0 % 7 == 5 } ? AccessError(ENOSPC) : nil
            })
        try rig.write(7, count: Self.chunkBytes, at: 0)
        var progress = PageMapper.RequestProgress()
        let loan = try rig.provider.mapper.lend(0..<4096, &progress)
        #expect(throws: AccessError(ENOSPC)) { try rig.pager.flush() }
        #expect(rig.order(0) == 8)
        _ = consume loan
        var taken: [Region] = []
        while let region = rig.pages.takeRegion(order: 0, room: 1) { taken.append(region) }
        let dirty = (0..<256 as Range<UInt64>).filter { $0 % 7 == 5 }
        #expect(taken.count == rig.frames - dirty.count)
        for page in 0..<256 as Range<UInt64> { #expect((rig.flexpage(at: page) != nil) == dirty.contains(page)) }
        for region in taken { rig.pages.give(region) }
        #expect(try firstByte(rig, ofPage: 5) == 7 && firstByte(rig, ofPage: 6) == 7)
        try rig.pager.trim(0..<4 << 20, forced: false)
        try rig.end()
    }

    private func firstByte<Image>(_ rig: PagingRig<Image>, ofPage page: UInt64) throws -> UInt8 {
        var byte: UInt8 = 0
        try withUnsafeMutableBytes(of: &byte) { try rig.pager.read(into: $0, at: BasePage.offset(of: page)) }
        return byte
    }
}
