import Testing

@testable import Paging

/// Which parts have lately been written around the memory.
@Suite struct WrittenPartsTests {
    private let pages: Pages
    private let parts: WrittenParts

    init() throws {
        pages = try Pages(memory: Pages.minMemory)
        parts = pages.writtenParts
    }

    private func key(_ page: UInt64, ofImage image: UInt16 = 0) -> PageKey { PageKey(image: image, page: page) }

    /// A part is known from the second time on.
    @Test func theSecondTime() {
        #expect(!parts.note(512..<1024, of: key(5)))
        for _ in 0..<3 { #expect(parts.note(512..<1024, of: key(5))) }
    }

    /// To ask makes nothing known.
    @Test func asking() {
        for _ in 0..<2 { #expect(!parts.knows(512..<1024, of: key(5))) }
        parts.note(512..<1024, of: key(5))
        #expect(parts.knows(512..<1024, of: key(5)) && !parts.knows(0..<512, of: key(5)))
        #expect(!parts.knows(512..<1024, of: key(6)))
    }

    /// Each eighth of a page is one part, whatever it is written with. None of them says anything of another.
    @Test func eighths() {
        for eighth in Int64(0)..<8 { #expect(!parts.note(eighth * 512..<(eighth + 1) * 512, of: key(5))) }
        for eighth in Int64(0)..<8 {
            #expect(parts.note(eighth * 512..<eighth * 512 + 1, of: key(5)))
            #expect(parts.note(eighth * 512 + 511..<(eighth + 1) * 512, of: key(5)))
        }
    }

    /// A part that reaches into what is known is known. What it has besides is noted with it.
    @Test(arguments: [0..<1024, 1000..<1025, 512..<4096, 0..<4096, 1535..<2000] as [Range<Int64>])
    func overlaps(part: Range<Int64>) {
        #expect(!parts.note(1024..<1536, of: key(5)))
        #expect(parts.note(part, of: key(5)) == part.overlaps(1024..<1536))
        #expect(parts.note(part.upperBound - 1..<part.upperBound, of: key(5)))
        #expect(parts.note(part.lowerBound..<part.lowerBound + 1, of: key(5)))
    }

    /// The neighbours of a part are not known, nor is the same part of another page or another image.
    @Test func others() {
        #expect(!parts.note(1024..<2048, of: key(5)))
        #expect(!parts.note(512..<1024, of: key(5)))
        #expect(!parts.note(2048..<2560, of: key(5)))
        #expect(!parts.note(1024..<2048, of: key(6)))
        #expect(!parts.note(1024..<2048, of: key(5, ofImage: 1)))
    }

    /// A page takes the entry of another one: of many more pages than there are entries, few are known. Those that
    /// were noted last are.
    @Test func pagesTakeEachOthersEntries() {
        let count = UInt64(WrittenParts.count(frames: pages.frames))
        for page in 0..<count * 100 { #expect(!parts.note(0..<512, of: key(page))) }
        #expect(parts.note(0..<512, of: key(count * 100 - 1)))
        let known = (0..<count * 98).count { parts.knows(0..<512, of: key($0)) }
        #expect(known < 100)
    }
}
