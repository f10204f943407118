import Testing

@testable import Paging

/// Which parts have lately been written around the memory, and which go around it next.
@Suite struct WrittenPartsTests {
    private let pages: Pages
    private let parts: WrittenParts

    init() throws {
        pages = try Pages(memory: Pages.minMemory)
        parts = pages.writtenParts
    }

    private func key(_ page: UInt64, ofImage image: UInt16 = 0) -> PageKey { PageKey(image: image, page: page) }

    private func goesAround(_ part: Range<Int64>, _ page: UInt64 = 5, ofImage image: UInt16 = 0) -> Bool {
        parts.isWorthWritingAround(part, of: key(page, ofImage: image))
    }

    /// A part goes around once. To ask makes nothing known.
    @Test func theSecondTime() {
        for _ in 0..<2 { #expect(goesAround(512..<1024)) }
        parts.note(512..<1024, of: key(5))
        for _ in 0..<2 { #expect(!goesAround(512..<1024)) }
    }

    /// Two parts that make a whole page go around, whichever comes first. Others beside one that was written do not.
    @Test(arguments: [512, 1024, 2048] as [Int64]) func theRestOfAPage(border: Int64) {
        parts.note(0..<border, of: key(5))
        parts.note(border..<4096, of: key(6))
        #expect(goesAround(border..<4096, 5) && goesAround(0..<border, 6))
        #expect(!goesAround(border..<3584, 5) && !goesAround(512..<border + 512, 6))
        parts.note(border..<4096, of: key(5))
        #expect(!goesAround(border..<4096) && !goesAround(0..<border) && !goesAround(0..<512))
    }

    /// Pages and images have parts of their own.
    @Test func others() {
        parts.note(1024..<2048, of: key(5))
        #expect(!goesAround(1024..<2048))
        #expect(goesAround(1024..<2048, 6) && goesAround(1024..<2048, 4))
        #expect(goesAround(1024..<2048, ofImage: 1))
    }

    /// A page takes the entry of another one: of many more pages than there are entries, few are known. The last one
    /// is.
    @Test func pagesTakeEachOthersEntries() {
        let count = UInt64(WrittenParts.count(frames: pages.frames))
        for page in 0..<count * 100 {
            #expect(goesAround(0..<512, page))
            parts.note(0..<512, of: key(page))
        }
        #expect(!goesAround(0..<512, count * 100 - 1))
        #expect((0..<count * 98).count { !goesAround(0..<512, $0) } < 100)
    }
}
