import Testing

@testable import Paging

/// Base pages read ahead in vain, of each image.
@Suite struct ReadaheadWasteTests {
    /// What is counted is taken once, by the image that it is about: how many pages, and where the latest begin.
    @Test func isTakenOnce() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let waste = pages.readaheadWaste
        waste.prepare(image: 0)
        waste.prepare(image: 1)
        #expect(waste.take(ofImage: 0) == .none)
        waste.count(8..<11, ofImage: 0)
        waste.count(1000..<1004, ofImage: 0)
        waste.count(0..<5, ofImage: 1)
        #expect(waste.take(ofImage: 0) == ReadaheadWaste.Unused(count: 7, page: 1000))
        #expect(waste.take(ofImage: 0) == .none)
        #expect(waste.take(ofImage: 1) == ReadaheadWaste.Unused(count: 5, page: 0))
    }

    /// A new image begins with nothing, whatever the one before it with the same number left.
    @Test func aNewImageHasNone() throws {
        let pages = try Pages(memory: Pages.minMemory)
        pages.readaheadWaste.count(8..<11, ofImage: 0)
        pages.readaheadWaste.prepare(image: 0)
        #expect(pages.readaheadWaste.take(ofImage: 0) == .none)
    }

    /// The last pages of the largest image have their place, and the count stays at its maximum: neither touches the
    /// other.
    @Test func theWordIsLargeEnough() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let waste = pages.readaheadWaste
        waste.prepare(image: 0)
        let last = BasePage.number(of: .max)
        for _ in 0..<100 { waste.count(last - 63..<last + 1, ofImage: 0) }
        #expect(waste.take(ofImage: 0) == ReadaheadWaste.Unused(count: 1 << 12 - 1, page: last - 63))
    }
}
