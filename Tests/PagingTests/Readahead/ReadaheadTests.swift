import TestSupport
import Testing

@testable import Paging

/// A Readahead with many readers, and with random ones.
@Suite struct ReadaheadTests {
    /// Eight sequential readers of one image, in turns and in any order, up and down, are eight streams. Each misses
    /// three times.
    @Test(arguments: [false, true]) func eightStreams(isRandomOrder: Bool) {
        let rig = ReadaheadRig(pages: 150_000)
        var random = SplitMix64(seed: 8)
        var progress = [UInt64](repeating: 0, count: 8)
        for turn in 0..<8 * 5000 {
            let stream = isRandomOrder && turn > 64 ? random.pick(0...7) : turn % 8
            guard progress[stream] < 5000 else { continue }
            let begin = UInt64(stream * stream) * 1_000 + UInt64(stream) * 11_000
            let page = stream % 2 == 0 ? begin + progress[stream] : begin + 9_999 - progress[stream]
            rig.access(page..<page + 1)
            progress[stream] += 1
        }
        #expect(rig.misses == 24)
        #expect(!rig.isPlannedTwice)
    }

    /// So are as many readers as there are streams. The credit that an image begins with is less than all of them want,
    /// so some wait twice more until they have earned it.
    @Test(arguments: [9, 12, 16]) func manyStreams(count: Int) {
        let rig = ReadaheadRig(pages: 400_000)
        for turn in 0..<3000 as Range<UInt64> {
            for reader in 0..<UInt64(count) {
                let page = reader * 20_000 + turn
                rig.access(page..<page + 1)
            }
        }
        #expect(rig.misses >= 3 * count && rig.misses <= 5 * count)
        #expect(!rig.isPlannedTwice)
    }

    /// More readers than streams, in turns or in any order: most of the streams stay with their readers, though those
    /// that have none miss again and again. What is read in vain is bounded.
    @Test(arguments: [20, 32], [false, true]) func moreReadersThanStreams(count: Int, isRandomOrder: Bool) {
        let rig = ReadaheadRig(pages: 1_000_000)
        var random = SplitMix64(seed: UInt64(count))
        var progress = [UInt64](repeating: 0, count: count)
        let accesses = count * 3000
        for turn in 0..<accesses {
            let reader = isRandomOrder ? random.pick(0...count - 1) : turn % count
            let page = UInt64(reader) * 20_000 + progress[reader]
            rig.access(page..<page + 1)
            progress[reader] += 1
        }
        #expect(rig.misses < (count == 20 ? accesses / 2 : accesses * 5 / 6))
        #expect(rig.pagesPlannedTwice <= accesses / 8)
        let planned = rig.planned.reduce(0) { $0 + $1.count }
        #expect(planned <= accesses + 10 * 256 + accesses / 8)
    }

    /// Strided readers that take turns are told apart, too.
    @Test func twoStridedStreams() {
        let rig = ReadaheadRig(pages: 400_000)
        for step in 0..<1000 as Range<UInt64> {
            rig.access(step * 150..<step * 150 + 2)
            rig.access(390_000 - step * 170..<390_000 - step * 170 + 2)
        }
        #expect(rig.misses == 8)
    }

    /// Random accesses of one size and of many, to a large and to a smaller image, have nearly nothing read ahead:
    /// plans for one in a hundred at most.
    @Test(arguments: [16 << 10, 256 << 10] as [UInt64], [1, 8, 0]) func randomAccesses(pages: UInt64, count: Int) {
        let rig = ReadaheadRig(pages: pages)
        var random = SplitMix64(seed: 3)
        var planned = 0
        for _ in 0..<20_000 {
            let count = UInt64(count > 0 ? count : random.length(upTo: 16))
            let page = UInt64(random.place(below: Int64(pages - count)))
            let plan = rig.readahead.missed(page..<page + count, unused: .none)
            if !plan.isEmpty { planned += 1 }
        }
        #expect(planned <= 200)
    }

    /// A stream with large windows shows up only at its marks. It outlives the random misses that come between two of
    /// them. When its reader has gone, they replace it in the end.
    @Test func aRunningStreamOutlivesMissesOfOthers() {
        let readahead = Readahead(imageSize: 1 << 40, maxWindow: 1024)
        defer { readahead.destroy() }
        var mark = 0 as UInt64
        for page in 0..<3 as Range<UInt64> { mark = readahead.missed(page..<page + 1, unused: .none).mark ?? mark }
        for _ in 0..<20 { mark = readahead.arrived(at: mark, unused: .none).mark ?? mark }
        func missElsewhere(_ times: UInt64) {
            for number in 1...times {
                let page = number * 100_003 % (1 << 28)
                #expect(readahead.missed(page..<page + 1, unused: .none).isEmpty)
            }
        }
        for _ in 0..<5 {
            missElsewhere(40)
            let plan = readahead.arrived(at: mark, unused: .none)
            #expect(!plan.isEmpty)
            mark = plan.mark ?? mark
        }
        missElsewhere(200)
        #expect(readahead.arrived(at: mark, unused: .none).isEmpty)
    }

    /// Waste in what is outstanding of a stream makes it begin again with the smallest window, and waste elsewhere
    /// changes nothing. If its windows were as large as they may be, the maximum is halved, down to the minimum window;
    /// arrivals bring it back.
    @Test func wasteEndsTheWindows() {
        let readahead = Readahead(imageSize: 1 << 40, maxWindow: 1024)
        defer { readahead.destroy() }
        for page in 0..<3 as Range<UInt64> { _ = readahead.missed(page..<page + 1, unused: .none) }
        var (mark, end) = (3 as UInt64, 19 as UInt64)
        func arrive(unused: UInt64? = nil) -> Int {
            let waste = unused.map { ReadaheadWaste.Unused(count: 5, page: $0) }
            var plan = readahead.arrived(at: mark, unused: waste ?? .none)
            // A stream that has given up has no mark: the reader goes on from where it was, and misses.
            if plan.isEmpty {
                for page in mark..<mark + 3 {
                    plan = readahead.missed(page..<page + 1, unused: .none)
                    if !plan.isEmpty { break }
                }
            }
            (mark, end) = (plan.mark ?? mark, plan.isEmpty ? end : plan[0].upperBound)
            return plan.isEmpty ? 0 : plan[0].count
        }
        #expect((0..<10).map { _ in arrive() }.max() == 1024)
        #expect(arrive(unused: 1 << 27) == 1024, "nobody waits for that")
        #expect(arrive(unused: end - 1) == 16)
        #expect((0..<20).map { _ in arrive() }.max() == 1024)
        let sizes = (0..<40).map { _ in arrive(unused: end - 1) }
        #expect(sizes.suffix(10).allSatisfy { $0 <= 16 })
        #expect((0..<60).map { _ in arrive() }.suffix(4).allSatisfy { $0 == 1024 })
    }

    /// Readers that stop soon, whatever their requests: what is read ahead of them in vain is bounded by what an image
    /// begins with, what they earn, and what they deserve.
    @Test(arguments: Seeds.of(plain: 20, sanitized: 2)) func wasteIsBounded(seed: UInt64) {
        let rig = ReadaheadRig(pages: 4_000_000)
        var random = SplitMix64(seed: seed)
        let count = UInt64(random.pick(1...6))
        var wanted: UInt64 = 0
        for _ in 0..<4000 {
            var page = UInt64(random.pick(0...3_900_000))
            for _ in 0..<random.pick(3...9) {
                rig.access(page..<page + count)
                page += count
                wanted += count
            }
        }
        let planned = UInt64(rig.planned.reduce(0) { $0 + $1.count })
        #expect(planned > 0, "FLEXPAGE_SEED=\(seed)")
        #expect(planned <= wanted + 10 * 256 + wanted / 4, "FLEXPAGE_SEED=\(seed)")
    }

    /// After readers that have left no credit, one that goes on has small windows at first, the smallest or an eighth
    /// of what it has reached, and then the largest. On a slow volume, a 32nd takes the place of the eighth.
    @Test(
        arguments: [(limit: VolumeJudge.Limit.unknown, part: 8), (limit: .either, part: 32)]
            as [(VolumeJudge.Limit, UInt64)])
    func withoutCreditAStreamHasWhatItDeserves(limit: VolumeJudge.Limit, part: UInt64) {
        let rig = ReadaheadRig(pages: 4_000_000)
        rig.readahead.on.limit = limit
        for run in 1..<1000 as Range<UInt64> {
            for page in run * 3000..<run * 3000 + 3 { rig.access(page..<page + 1) }
        }
        let plansBefore = rig.plans.count
        let missesBefore = rig.misses
        for page in 3_500_000..<3_600_000 as Range<UInt64> { rig.access(page..<page + 1) }
        let sizes = rig.plans[plansBefore...].map { ($0[0].lowerBound - 3_500_000, UInt64($0[0].count)) }
        for (reached, size) in sizes.prefix(8) { #expect(size >= 4 && size <= max(16, reached / part)) }
        #expect(sizes.last?.1 == 256)
        #expect(rig.misses - missesBefore < 12 * part)
        #expect(!rig.isPlannedTwice)
    }

    /// With no window nothing is ever planned.
    @Test func off() {
        let rig = ReadaheadRig(maxWindow: 0)
        for page in 0..<rig.end { rig.access(page..<page + 1) }
        #expect(rig.readahead.isOff && rig.plans.isEmpty)
    }

    /// A maximum window that is less than the usual minimum is respected.
    @Test func tinyWindow() {
        let rig = ReadaheadRig(maxWindow: 3)
        for page in 0..<rig.end { rig.access(page..<page + 1) }
        #expect(rig.misses == 3 && rig.planned.allSatisfy { $0.count <= 3 })
    }

    /// Any accesses, arrivals and numbers: every plan is inside the image, within the maximum window and eight runs,
    /// and has its mark inside a run.
    @Test(arguments: Seeds.of(plain: 60, optimised: 100, sanitized: 4)) func anythingGoes(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let pages = UInt64(random.pick(1...5000))
        let maxWindow = random.pick(1...600)
        let readahead = Readahead(imageSize: Int64(pages) * 4096, maxWindow: maxWindow)
        defer { readahead.destroy() }
        for _ in 0..<2000 {
            let count = UInt64(random.length(upTo: Int(min(pages, 64))))
            let page = random.next() % (pages - count + 1)
            let unused: ReadaheadWaste.Unused =
                random.once(in: 10) ? .init(count: 1, page: random.next() % pages) : .none
            let plan =
                random.once(in: 2)
                ? readahead.missed(page..<page + count, unused: unused) : readahead.arrived(at: page, unused: unused)
            for index in 0..<plan.count {
                #expect(!plan[index].isEmpty && plan[index].upperBound <= pages, "FLEXPAGE_SEED=\(seed)")
                #expect(plan.count > 1 || plan[index].count <= max(maxWindow, 64), "FLEXPAGE_SEED=\(seed)")
            }
            if let mark = plan.mark {
                let isInside = (0..<plan.count).contains { plan[$0].contains(mark) }
                #expect(isInside, "FLEXPAGE_SEED=\(seed)")
            }
        }
    }
}
