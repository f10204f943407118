import Testing

@testable import Paging

/// Base pages read ahead in vain, of each image.
@Suite struct ReadaheadWasteTests {
    /// What is counted is taken once, by the image that it is about.
    @Test func isTakenOnce() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let waste = pages.readaheadWaste
        waste.prepare(image: 0)
        waste.prepare(image: 1)
        #expect(waste.take(ofImage: 0) == 0)
        waste.count(3, ofImage: 0)
        waste.count(4, ofImage: 0)
        waste.count(5, ofImage: 1)
        #expect(waste.take(ofImage: 0) == 7)
        #expect(waste.take(ofImage: 0) == 0)
        #expect(waste.take(ofImage: 1) == 5)
    }

    /// A new image begins with nothing, whatever the one before it with the same number left.
    @Test func aNewImageHasNone() throws {
        let pages = try Pages(memory: Pages.minMemory)
        pages.readaheadWaste.count(3, ofImage: 0)
        pages.readaheadWaste.prepare(image: 0)
        #expect(pages.readaheadWaste.take(ofImage: 0) == 0)
    }
}
