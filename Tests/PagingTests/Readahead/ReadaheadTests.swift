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
            let plan = rig.readahead.missed(page..<page + count, unused: 0)
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
        for page in 0..<3 as Range<UInt64> { mark = readahead.missed(page..<page + 1, unused: 0).mark ?? mark }
        for _ in 0..<20 { mark = readahead.arrived(at: mark, unused: 0).mark ?? mark }
        func missElsewhere(_ times: UInt64) {
            for number in 1...times {
                let page = number * 100_003 % (1 << 28)
                #expect(readahead.missed(page..<page + 1, unused: 0).isEmpty)
            }
        }
        for _ in 0..<5 {
            missElsewhere(40)
            let plan = readahead.arrived(at: mark, unused: 0)
            #expect(!plan.isEmpty)
            mark = plan.mark ?? mark
        }
        missElsewhere(200)
        #expect(readahead.arrived(at: mark, unused: 0).isEmpty)
    }

    /// Pages read ahead and recycled without use halve the windows, down to the minimum; arrivals bring them back.
    @Test func unusedPagesShrinkTheWindows() {
        let readahead = Readahead(imageSize: 1 << 40, maxWindow: 1024)
        defer { readahead.destroy() }
        for page in 0..<3 as Range<UInt64> { _ = readahead.missed(page..<page + 1, unused: 0) }
        var (mark, end) = (3 as UInt64, 19 as UInt64)
        func arrive(unused: UInt64 = 0) -> Int {
            var plan = readahead.arrived(at: mark, unused: unused)
            // If more was ahead than the smaller windows allow there is no mark: the reader comes to the end.
            if plan.isEmpty { plan = readahead.missed(end..<end + 1, unused: 0) }
            (mark, end) = (plan.mark ?? mark, plan.isEmpty ? end : plan[0].upperBound)
            return plan.isEmpty ? 0 : plan[0].count
        }
        var sizes = (0..<10).map { _ in arrive() }
        #expect(sizes.max() == 1024)
        sizes = (0..<20).map { _ in arrive(unused: 5) }
        #expect(sizes.filter { $0 > 0 }.allSatisfy { $0 <= 1024 })
        #expect(sizes.suffix(4).allSatisfy { $0 < 32 })
        sizes = (0..<40).map { _ in arrive() }
        #expect(sizes.suffix(4).allSatisfy { $0 == 1024 })
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
            let unused = random.once(in: 10) ? UInt64(1) : 0
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
