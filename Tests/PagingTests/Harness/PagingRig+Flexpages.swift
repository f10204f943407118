import Testing

@testable import Paging

/// The flexpages of the image, and their positions. Nobody else uses the image meanwhile.
extension PagingRig {
    /// The word of the flexpage that covers base page `page`, or nil.
    func state(_ page: UInt64) -> PageState? {
        flexpage(at: page).map { PageState(pages.table.word($0).pointee.state.load(ordering: .relaxed)) }
    }

    /// That flexpage's position in time in the PageQueue, or nil.
    func position(_ page: UInt64) -> QueuePosition? {
        flexpage(at: page).map { QueuePosition(pages.table.word($0).pointee.position.load(ordering: .relaxed)) }
    }

    /// The order of that flexpage, or nil.
    func order(_ page: UInt64) -> UInt8? { flexpage(at: page).map { pages.table[$0].pointee.order } }

    /// The queue that holds it, or nil.
    func queue(_ page: UInt64) -> PageQueue.Name? { flexpage(at: page).map { pages.table[$0].pointee.queue } }

    /// Makes base pages resident as flexpages of their own, one after the other. If they are the first in a fresh
    /// Memory of whole chunks, base page n lies in frame n.
    func populateSingly(_ pages: Range<UInt64>) throws {
        for page in pages {
            try pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1))
            try #require(flexpage(at: page) == FlexpageID(page))
        }
    }

    /// Puts a flexpage at the tail of main, as one that has been used often.
    func keep(_ page: UInt64, hits: UInt32 = 3) throws {
        let id = try #require(flexpage(at: page))
        #expect(pages.queue.remove(id))
        pages.queue.putBack(id, to: .main)
        pages.table.word(id).pointee.state.bitwiseAnd(~PageState.hitMask, ordering: .relaxed)
        pages.table.word(id).pointee.state.bitwiseOr(hits * PageState.hit, ordering: .relaxed)
    }

    /// Puts a flexpage at the tail of probation, as a new one.
    func renew(_ page: UInt64) throws {
        let id = try #require(flexpage(at: page))
        #expect(pages.queue.remove(id))
        pages.queue.putBack(id, to: .probation)
    }

    /// The first base page of each flexpage that can be recycled, in the order of recycling. They lose their hits, and
    /// stay.
    func orderOfRecycling() -> [UInt64] {
        var candidates: [PageQueue.Candidate] = []
        while let candidate = pages.queue.nextCandidate() { candidates.append(candidate) }
        for candidate in candidates { pages.queue.putBack(candidate.id, to: candidate.from) }
        return candidates.map(\.key.page)
    }
}
