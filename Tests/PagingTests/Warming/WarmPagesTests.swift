import Testing

@testable import Paging

/// Pages of one chunk, each as warm as it was.
@Suite struct WarmPagesTests {
    @Test func warmthOfEachPage() {
        var pages = WarmPages()
        for warmth in 0...ResidentRun.maxWarmth {
            pages.insert(256 + UInt64(warmth) * 16..<260 + UInt64(warmth) * 16, warmth: warmth)
        }
        #expect(pages.all.count == 64)
        for warmth in 0...ResidentRun.maxWarmth {
            let first = 256 + UInt64(warmth) * 16
            #expect(pages.warmth(of: first..<first + 1) == warmth && pages.warmth(of: first..<first + 4) == warmth)
        }
    }

    @Test func theWarmestCounts() {
        var pages = WarmPages()
        pages.insert(0..<10, warmth: 7)
        pages.insert(10..<20, warmth: 8)
        pages.insert(20..<21, warmth: 0)
        #expect(pages.warmth(of: 8..<12) == 8 && pages.warmth(of: 0..<256) == 8)
        #expect(pages.warmth(of: 0..<10) == 7 && pages.warmth(of: 20..<21) == 0)
        // A page that was seen twice, on its way from one queue to the other.
        pages.insert(20..<21, warmth: 9)
        #expect(pages.warmth(of: 20..<21) == 9)
    }
}
