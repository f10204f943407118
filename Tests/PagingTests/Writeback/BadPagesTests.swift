import Testing

@testable import Paging

/// A page that is known to be bad is tried again after 1, 2, 4 … 30 seconds.
@Suite struct BadPagesTests {
    private let pages: Pages
    private var bad: BadPages { pages.table.badPages }

    init() throws { pages = try Pages(memory: Pages.minMemory) }

    /// With each failure the time to the next try doubles, up to 30 seconds, whatever the clock says: the note of the
    /// time wraps around.
    @Test(arguments: [0, 1, 5000, 8190, 8191, 8192, 100_000]) func backsOff(begin: Int) {
        var now = begin
        #expect(!bad.isBad(7))
        for wait in [1, 2, 4, 8, 16, 30, 30, 30] {
            bad.noteFailure(of: 7, at: now)
            #expect(bad.isBad(7))
            #expect((now..<now + 8000).filter { !bad.isDue(7, at: $0) } == Array(now..<now + wait))
            now += wait + begin % 3
        }
        #expect(!bad.isBad(6) && !bad.isBad(8))
    }

    /// A page that is out, or dropped, is not bad any more. If it fails again, it begins again at 1 second.
    @Test func forgotten() {
        for _ in 0..<4 { bad.noteFailure(of: 7, at: 100) }
        bad.forget(7)
        #expect(!bad.isBad(7))
        bad.noteFailure(of: 7, at: 200)
        #expect(!bad.isDue(7, at: 200) && bad.isDue(7, at: 201))
    }

    /// What is known of pages moves with them, and stays nowhere else.
    @Test func movesWithThePage() {
        bad.noteFailure(of: 9, at: 100)
        bad.noteFailure(of: 10, at: 100)
        bad.noteFailure(of: 10, at: 101)
        bad.move(Region(first: 8, order: 2), to: Region(first: 16, order: 2))
        #expect((0..<32 as Range<FlexpageID>).filter { bad.isBad($0) } == [17, 18])
        #expect(bad.isDue(17, at: 101) && !bad.isDue(18, at: 102))
    }
}
