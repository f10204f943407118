import Testing

@testable import Paging

/// What limits a volume.
@Suite struct VolumeJudgeTests {
    /// Windows of a second, with reads of these numbers of pages, on a volume held to these rates a second.
    private func take(_ sizes: [Int], _ judge: inout VolumeJudge, maxReads: Int = 3000, maxPages: Int = 32_000) {
        for size in sizes {
            let reads = min(maxReads, maxPages / size)
            judge.take(reads: reads, pages: reads * size, microseconds: 1_000_000)
        }
    }

    @Test func readsAreTheLimit() {
        var judge = VolumeJudge()
        take([2, 4, 2, 3], &judge)
        #expect(judge.limit == .either, "four windows are too few")
        take([5], &judge)
        #expect(judge.limit == .reads)
    }

    @Test func bytesAreTheLimit() {
        var judge = VolumeJudge()
        take([16, 40, 64, 20, 32], &judge)
        #expect(judge.limit == .bytes)
        take([2, 3, 4, 2, 3], &judge)
        #expect(judge.limit == .reads, "another load may have another limit")
    }

    /// A load whose reads are all alike says nothing: both times are level.
    @Test func likeReadsSayNothing() {
        var judge = VolumeJudge()
        take(Array(repeating: 4, count: 40), &judge)
        #expect(judge.limit == .either)
    }

    /// A read takes a time of its own and a time for each page: neither is level.
    @Test func aDiskHasNeither() {
        var judge = VolumeJudge()
        for size in [1, 16, 4, 8, 2, 32, 1, 12, 6] {
            judge.take(reads: 1000, pages: 1000 * size, microseconds: UInt64(1000 * (200 + 20 * size)))
        }
        #expect(judge.limit == .either)
    }

    /// A disk so fast that the processors limit it has no verdict, however level it looks.
    @Test func aFastDiskHasNone() {
        var judge = VolumeJudge()
        take([2, 4, 2, 3, 5, 2, 4], &judge, maxReads: 12_000, maxPages: 100_000)
        #expect(judge.limit == .unknown)
    }

    /// Reads that are all alike speak against no verdict, if what limits is as fast as it was.
    @Test(arguments: [(first: [2, 4, 2, 3, 5], then: 4), (first: [16, 40, 64, 20, 32], then: 24)])
    func likeReadsLeaveAVerdict(first: [Int], then: Int) {
        var judge = VolumeJudge()
        take(first, &judge)
        let limit = judge.limit
        #expect(limit == .reads || limit == .bytes)
        take(Array(repeating: then, count: 100), &judge)
        #expect(judge.limit == limit)
    }

    /// As fast as it was means: when reads varied last, not when the verdict was found first.
    @Test func aSlowerVolumeHasAVerdict() {
        var judge = VolumeJudge()
        take([2, 4, 2, 3, 5], &judge)
        take([2, 4, 2, 3, 5, 2, 4, 2, 3, 5], &judge, maxReads: 2000)
        #expect(judge.limit == .reads)
        take(Array(repeating: 4, count: 20), &judge, maxReads: 2000)
        #expect(judge.limit == .reads)
    }

    /// A verdict holds for eight windows that say nothing, or the contrary: reads all alike that are limited by
    /// something else.
    @Test func aVerdictIsForgotten() {
        var judge = VolumeJudge()
        take([16, 40, 64, 20, 32], &judge)
        var windows = 0
        while judge.limit == .bytes, windows < 100 {
            take([4], &judge)
            windows += 1
        }
        #expect((8...12).contains(windows))
        #expect(judge.limit == .either)
    }

    /// Windows with a handful of reads are left out.
    @Test func fewReadsSayNothing() {
        var judge = VolumeJudge()
        take([2, 4, 2, 3, 5, 2, 7], &judge, maxReads: 31)
        #expect(judge.limit == .unknown)
    }
}
