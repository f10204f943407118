import Testing

@testable import Paging

/// The ghost queue remembers what was recycled recently, and forgets in time.
@Suite struct GhostsTests {
    /// What went in is known once, and only that.
    @Test func remembersOnce() throws {
        let ghosts = try GhostRig()
        #expect(!ghosts.remove(1))
        ghosts.insert(1)
        #expect(!ghosts.remove(2))
        #expect(!ghosts.remove(1, image: 1), "another image's page is another page")
        #expect(!ghosts.remove(1, generation: 1), "the image had its number before another one")
        #expect(ghosts.remove(1))
        #expect(!ghosts.remove(1))
    }

    /// After `capacity` recyclings an entry counts no more. Until then nearly all do (full buckets forget a few).
    @Test func forgetsInTime() throws {
        let ghosts = try GhostRig()
        let capacity = ghosts.capacity
        for page in 0..<3 * capacity { ghosts.insert(page) }
        let old = (0..<2 * capacity).count { ghosts.remove($0) }
        let recent = (2 * capacity + 1..<3 * capacity).count { ghosts.remove($0) }
        #expect(old <= 1)
        #expect(UInt64(recent) * 100 >= capacity * 90, "\(recent) of \(capacity) are known")
    }

    /// The same page recycled again is as new as its last recycling.
    @Test func recyclingAgainRenews() throws {
        let ghosts = try GhostRig()
        for round in 0..<3 as Range<UInt64> {
            ghosts.insert(1 << 30)
            for page in 0..<ghosts.capacity * 3 / 4 { ghosts.insert(page + round << 20) }
        }
        #expect(ghosts.remove(1 << 30))
    }
}

/// A ghost queue for an arena of 4 MiB.
private final class GhostRig {
    private let pages: Pages
    private var ghosts: Ghosts
    var capacity: UInt64 { UInt64(ghosts.capacity) }

    init() throws {
        pages = try Pages(memory: 4 << 20)
        ghosts = Ghosts(pages.memory.metadata)
    }

    func insert(_ page: UInt64) { ghosts.insert(PageKey(image: 0, page: page), 0) }
    func remove(_ page: UInt64, image: UInt16 = 0, generation: UInt32 = 0) -> Bool {
        ghosts.remove(PageKey(image: image, page: page), generation)
    }
}
