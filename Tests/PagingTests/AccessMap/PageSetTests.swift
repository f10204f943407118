import TestSupport
import Testing

@testable import Paging

/// Sets of base pages of a chunk. The model is a Set.
@Suite(.oneThread) struct PageSetTests {
    /// The first page of each chunk that sets are made in: their numbers must not matter.
    static let chunks: [UInt64] = [0, 256, 77 * 256, (1 << 40 - 1) << 8]

    /// Every range of a chunk makes a set of exactly its pages.
    @Test(arguments: chunks) func rangesAreSets(chunk: UInt64) {
        for begin in stride(from: 0, through: 256, by: 5) as StrideThrough<UInt64> {
            for end in begin...256 where (end - begin) % 3 == 0 || end % 64 < 2 {
                let range = chunk + begin..<chunk + end
                let set = PageSet(range)
                #expect(set.count == range.count && set.isEmpty == range.isEmpty)
                #expect((chunk..<chunk + 256).allSatisfy { set.contains($0) == range.contains($0) })
            }
        }
    }

    /// Random operations on two sets agree with the model's.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func agreesWithASet(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let chunk = PageSetTests.chunks[Int(seed) % PageSetTests.chunks.count]
        var (set, model) = (PageSet(), Set<UInt64>())
        for _ in 0..<200 {
            let begin = chunk + UInt64(random.pick(0...255))
            let range = begin..<min(chunk + 256, begin + UInt64(random.length(upTo: 256)))
            switch random.pick(0...4) {
            case 0:
                set.formUnion(PageSet(range))
                model.formUnion(range)
            case 1:
                set.subtract(PageSet(range))
                model.subtract(range)
            case 2 where random.once(in: 4):
                set.formIntersection(PageSet(range))
                model.formIntersection(range)
            case 3:
                set.insert(begin)
                model.insert(begin)
            default:
                set.remove(begin)
                model.remove(begin)
            }
            #expect(set.count == model.count && set.isEmpty == model.isEmpty)
            #expect((chunk..<chunk + 256).allSatisfy { set.contains($0) == model.contains($0) })
            #expect(set.count(in: range) == range.count { model.contains($0) })
            var end = begin
            while end < range.upperBound, model.contains(end) { end += 1 }
            #expect(set.end(ofRunFrom: begin, upTo: range.upperBound) == end)
        }
    }

    /// Gaps and differences are the model's: gaps between runs of any length, across words and up to any limit, and
    /// what is left of a set without another.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func gapsAndDifferencesAgreeWithASet(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let chunk = PageSetTests.chunks[Int(seed) % PageSetTests.chunks.count]
        let (set, model) = PageSetTests.randomSet(chunk, &random)
        let (other, otherModel) = PageSetTests.randomSet(chunk, &random)
        let (left, leftModel) = (set.subtracting(other), model.subtracting(otherModel))
        #expect((chunk..<chunk + 256).allSatisfy { left.contains($0) == leftModel.contains($0) })
        #expect((chunk..<chunk + 256).allSatisfy { set.contains($0) == model.contains($0) }, "the set is not changed")
        for page in chunk..<chunk + 256 {
            for limit in [page, page + 1, chunk + UInt64(random.pick(Int(page - chunk)...256)), chunk + 256] {
                let expected = (page..<max(page, limit)).first(where: model.contains) ?? limit
                #expect(set.end(ofGapFrom: page, upTo: limit) == expected)
            }
        }
        #expect(PageSet().end(ofGapFrom: chunk, upTo: chunk + 256) == chunk + 256)
        #expect(PageSet(chunk..<chunk + 256).end(ofGapFrom: chunk + 200, upTo: chunk + 256) == chunk + 200)
    }

    /// A set of runs and gaps, each up to a random length, and its model.
    private static func randomSet(_ chunk: UInt64, _ random: inout SplitMix64) -> (PageSet, Set<UInt64>) {
        var (set, model) = (PageSet(), Set<UInt64>())
        let maxLength = random.pick(1...150)
        var page = chunk + UInt64(random.pick(0...maxLength))
        while page < chunk + 256 {
            let end = min(page + UInt64(random.pick(1...maxLength)), chunk + 256)
            set.formUnion(PageSet(page..<end))
            model.formUnion(page..<end)
            page = end + UInt64(random.pick(1...maxLength))
        }
        return (set, model)
    }

    /// A run continues across words, up to the chunk's end.
    @Test(arguments: chunks) func runsGoOn(chunk: UInt64) {
        let set = PageSet(chunk + 3..<chunk + 256)
        for page in chunk + 3..<chunk + 256 {
            #expect(set.end(ofRunFrom: page, upTo: chunk + 256) == chunk + 256)
            #expect(set.end(ofRunFrom: page, upTo: page + 1) == page + 1)
        }
        #expect(set.end(ofRunFrom: chunk + 2, upTo: chunk + 256) == chunk + 2)
        #expect(set.end(ofRunFrom: chunk + 9, upTo: chunk + 9) == chunk + 9)
    }
}

extension Range<UInt64> {
    fileprivate func count(where condition: (UInt64) -> Bool) -> Int { reduce(0) { $0 + (condition($1) ? 1 : 0) } }
}
