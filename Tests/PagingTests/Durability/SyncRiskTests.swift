import Glibc
import Testing

@testable import Paging

/// What a failed sync of an image would lose, and whether a sync has failed.
@Suite struct SyncRiskTests {
    private let pages: Pages
    private let risk: SyncRisk

    init() throws {
        pages = try Pages(memory: Pages.minMemory)
        risk = pages.accessMap(ofImage: 0).risk
        risk.prepare()
    }

    /// Each thing that a failed sync would lose changes the number. So an earlier number says that something has
    /// happened since.
    @Test func countsWhatIsAtRisk() {
        let before = risk.atRisk
        #expect(before == risk.atRisk)
        risk.countAtRisk()
        let after = risk.atRisk
        #expect(after != before)
        #expect(after == risk.atRisk)
    }

    /// A zero or trim is seen while it is being done, of several as long as one is, and then counts as at risk.
    @Test func changes() {
        #expect(!risk.isChanging)
        risk.beginChange()
        risk.beginChange()
        let before = risk.atRisk
        risk.endChange()
        #expect(risk.isChanging)
        #expect(risk.atRisk != before)
        risk.endChange()
        #expect(!risk.isChanging)
    }

    /// A caller that asks since when hears whether a sync has failed since, and how the last one did.
    @Test func failuresSince() {
        let first = risk.failureStamp
        #expect(risk.failure(since: first) == nil)
        risk.countFailure(AccessError(EIO))
        let second = risk.failureStamp
        #expect(risk.failure(since: first) == AccessError(EIO))
        #expect(risk.failure(since: second) == nil)
        risk.countFailure(AccessError(255))
        risk.countFailure(AccessError(EIO))
        #expect(risk.failure(since: second) == AccessError(EIO), "the same error again is another failure")
        risk.countFailure(AccessError(255))
        #expect(risk.failure(since: first) == AccessError(255))
        #expect(risk.failureStamp & 0xFF_FFFF_FFFF_FFFF == 4)
    }

    /// Pages that are out and not durable are counted up and down, for the image and for all.
    @Test func countsUnsyncedPages() {
        risk.countUnsynced(5)
        risk.countUnsynced(-2)
        #expect(risk.unsyncedPages == 3)
        #expect(pages.dirtyLimit.ofImage(0).unsynced == 3)
    }

    /// A copy counts in the same place, another image in another place, and a new image begins with nothing.
    @Test func eachImageHasItsOwn() {
        let (copy, other) = (pages.accessMap(ofImage: 0).risk, pages.accessMap(ofImage: 1).risk)
        other.prepare()
        risk.countAtRisk()
        risk.countUnsynced(1)
        risk.countFailure(AccessError(EIO))
        #expect(copy.atRisk == 1 && copy.unsyncedPages == 1 && copy.failureStamp != 0)
        #expect(other.atRisk == 0 && other.unsyncedPages == 0 && other.failureStamp == 0)
        risk.prepare()
        #expect(risk.atRisk == 0 && risk.unsyncedPages == 0 && risk.failureStamp == 0)
    }
}
