import Testing

@testable import Paging

/// The arithmetic of Regions and base pages, at every order.
@Suite struct RegionTests {
    /// Halves make their parent, and are each other's buddies.
    @Test(arguments: 1...Region.maxOrder) func halvesAreBuddies(order: Int) {
        for index in [0, 1, 2, 7] {
            let whole = Region(first: UInt32(index << order), order: UInt8(order))
            #expect(whole.frames == 1 << order)
            #expect(whole.lowerHalf.first == whole.first)
            #expect(Int(whole.upperHalf.first) == Int(whole.first) + whole.frames / 2)
            #expect(whole.lowerHalf.buddy == whole.upperHalf)
            #expect(whole.upperHalf.buddy == whole.lowerHalf)
            #expect(whole.lowerHalf.parent == whole)
            #expect(whole.upperHalf.parent == whole)
        }
    }

    /// The base pages that cover a range are those of its first and last byte, and all between.
    @Test func basePagesCoverTheRange() {
        #expect(BasePage.numbers(covering: 0..<1) == 0..<1)
        #expect(BasePage.numbers(covering: 4095..<4097) == 0..<2)
        #expect(BasePage.numbers(covering: 4096..<8192) == 1..<2)
        #expect(BasePage.offset(of: 3) == 12288)
        #expect(BasePage.number(of: 1 << 59) == 1 << 47)
    }

    /// A range is cut at the first chunk border inside it, and nowhere else.
    @Test func chunksEndAtTheirBorders() {
        let size = Chunk.size
        #expect(Chunk.first(of: 0..<size) == 0..<size)
        #expect(Chunk.first(of: 0..<size + 1) == 0..<size)
        #expect(Chunk.first(of: size - 1..<size + 1) == size - 1..<size)
        #expect(Chunk.first(of: size..<size + 5) == size..<size + 5)
        #expect(Chunk.first(of: size + 7..<9 * size) == size + 7..<2 * size)
    }

    /// A Region contains its frames and the Regions that lie in it, itself included, and nothing beside or around it.
    @Test(arguments: 0...Region.maxOrder) func containsWhatLiesInIt(order: Int) {
        for index in [1, 2, 7] {
            let region = Region(first: UInt32(index << order), order: UInt8(order))
            #expect(Int(region.end) == Int(region.first) + region.frames)
            #expect(region.contains(region.first) && region.contains(region.end - 1))
            #expect(!region.contains(region.first - 1) && !region.contains(region.end))
            #expect(region.contains(region) && !region.contains(region.buddy) && !region.buddy.contains(region))
            #expect(region.parent.contains(region) && !region.contains(region.parent))
            if order > 0 { #expect(region.contains(region.lowerHalf) && region.contains(region.upperHalf)) }
        }
    }
}
