import Glibc
import Testing

@testable import Paging

/// Reading ahead over resident pages.
@Suite struct ReadOverTests {
    private static let size: Int64 = 16 << 20

    /// Each page that is read over has memory of its own in that read, as far as there is enough: the image checks
    /// that. The frames are given back, and every byte is right.
    @Test(arguments: [Pages.minMemory, 16 << 20], [2, 3, 5, 9] as [UInt64])
    func nothingIsReadToOnePlaceTwice(memory: Int, every: UInt64) throws {
        let rig = try Rig(memory: memory, image: MemoryImage(size: Self.size))
        for page in stride(from: 1, to: 256, by: Int(every)) { #expect(try rig.reads(4096, at: Int64(page) << 12)) }
        let readOneByOne = rig.image.reads.load(ordering: .relaxed)
        rig.provider.mapper.readAhead(0..<256, mark: nil)
        let reads = rig.image.reads.load(ordering: .relaxed) - readOneByOne
        #expect(reads < readOneByOne, "as many reads as there are gaps")
        rig.pages.checkInvariants(isQuiet: true)
        #expect(try rig.reads(1 << 20, at: 0))
        try rig.end()
    }

    /// A page that cannot be read, but is resident because it has been written, does not keep its neighbours from being
    /// read ahead. It keeps what was written.
    @Test func aBadSectorUnderAResidentPageIsReadAround() throws {
        let rig = try PagingRig(
            memory: 16 << 20,
            image: HookedImage(size: Self.size) { call, pages in
                call == .populate && pages.contains(100) ? AccessError(EIO) : nil
            })
        try rig.write(7, count: 4096, at: 100 << 12)
        rig.provider.mapper.readAhead(0..<256, mark: nil)
        #expect((0..<256 as Range<UInt64>).allSatisfy { rig.flexpage(at: $0) != nil })
        let scratch = TestBuffer(1 << 20)
        let buffer = scratch.buffer(1 << 20)
        try rig.pager.read(into: buffer, at: 0)
        for page in 0..<256 { #expect(buffer[page << 12] == (page == 100 ? 7 : 0xEE)) }
        try rig.pager.flush()
        try rig.end()
    }

    /// A window is cut at the ends of chunks. Each part has a mark, at the end from which the reader comes: the nearest
    /// page that was missing. So a part that is all resident does not silence the stream.
    @Test(arguments: [true, false]) func eachPartHasAMark(upwards: Bool) throws {
        let rig = try Rig(memory: 16 << 20, image: MemoryImage(size: Self.size))
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        #expect(try rig.reads(56 << 12, at: 200 << 12))
        for page in [256, 257, 511, 512, 599] as [Int64] { #expect(try rig.reads(4096, at: page << 12)) }
        var plan = ReadaheadPlan()
        plan.add(200..<600, marked: upwards ? 200 : 599)
        rig.pages.prefetches.submit(plan, of: Unmanaged.passUnretained(rig.provider))
        prefetcher.drain()
        var marked: Set<UInt64> = []
        for page in 200..<600 as Range<UInt64> {
            let id = try #require(rig.flexpage(at: page))
            let state = PageState(rig.pages.table.word(id).pointee.state.load(ordering: .relaxed))
            if state.has(PageState.marked) { marked.insert(rig.pages.table[id].pointee.key.page) }
        }
        #expect(marked.count == 2)
        let expected = upwards ? [258, 513] : [510, 598] as [UInt64]
        for page in expected { #expect(marked.contains { $0 <= page && page < $0 + 128 }, "page \(page)") }
        prefetcher.stop()
        try rig.end()
    }
}
