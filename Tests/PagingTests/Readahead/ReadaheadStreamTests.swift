import TestSupport
import Testing

@testable import Paging

/// One reader and a Readahead: every kind of stream is found soon, and continues to the image's end.
@Suite struct ReadaheadStreamTests {
    /// A reader upwards misses three times. Then everything is there, up to the last page and not past it, and no page
    /// was asked for twice.
    @Test(arguments: [1, 4, 7] as [UInt64]) func forwards(count: UInt64) {
        let rig = ReadaheadRig()
        for page in stride(from: 0, to: rig.end, by: Int(count)) { rig.access(page..<min(page + count, rig.end)) }
        #expect(rig.misses == 3)
        #expect(rig.planned.last?.upperBound == rig.end)
        #expect(!rig.isPlannedTwice)
    }

    /// So does one downwards, down to page 0.
    @Test(arguments: [1, 4, 7] as [UInt64]) func backwards(count: UInt64) {
        let rig = ReadaheadRig()
        var page = rig.end
        while page > 0 {
            let next = page - min(page, count)
            rig.access(next..<page)
            page = next
        }
        #expect(rig.misses == 3)
        #expect(rig.planned.last?.lowerBound == 0)
        #expect(!rig.isPlannedTwice)
    }

    /// A reader with equal strides, up or down, misses four times, and nothing between its places is asked for.
    @Test(arguments: [100, -100, 1000, -333] as [Int64]) func strided(distance: Int64) {
        let rig = ReadaheadRig(pages: 50_000)
        var page = distance > 0 ? 0 : Int64(rig.end) - 4
        let first = page
        while page >= 0, page + 4 <= Int64(rig.end) {
            rig.access(UInt64(page)..<UInt64(page) + 4)
            page += distance
        }
        #expect(rig.misses == 4)
        #expect(!rig.isPlannedTwice)
        #expect(rig.planned.allSatisfy { $0.count == 4 && (Int64($0.lowerBound) - first) % distance == 0 })
    }

    /// The windows double from 64 KiB to the maximum and no further. Each plan is one window, and its mark is in it.
    @Test func windowsDouble() {
        let rig = ReadaheadRig(pages: 100_000)
        for page in 0..<rig.end { rig.access(page..<page + 1) }
        let sizes = rig.planned.map(\.count)
        #expect(Array(sizes.prefix(6)) == [16, 32, 64, 128, 256, 256])
        #expect(sizes.allSatisfy { $0 <= 256 })
        #expect(rig.plans.allSatisfy { $0.count == 1 && $0[0].contains($0.mark ?? 0) })
    }

    /// A client's requests that arrive in any order among sixteen are one stream, in the right direction. It is found
    /// within the first few. No more than a few small windows are planned twice or on the wrong side.
    @Test(arguments: Seeds.of(plain: 40, sanitized: 4)) func reorderingAmongSixteen(seed: UInt64) {
        let rig = ReadaheadRig(pages: 40_000)
        var random = SplitMix64(seed: seed)
        let isUpwards = random.once(in: 2)
        let count = UInt64(random.pick(1...8))
        var waiting: [UInt64] = []
        var request: UInt64 = 0
        while request < 800 || !waiting.isEmpty {
            while waiting.count < 16, request < 800 {
                waiting.append(request)
                request += 1
            }
            let number = waiting.remove(at: random.pick(0...waiting.count - 1))
            // The oldest request does not wait for ever.
            let oldest = waiting.first.map { number > $0 + 12 ? waiting.remove(at: 0) : number } ?? number
            if oldest != number { waiting.append(number) }
            waiting.sort()
            let place = 10_000 + oldest * count
            let page = isUpwards ? place : rig.end - place
            rig.access(page..<page + count)
        }
        let wrong = rig.planned.filter { isUpwards ? $0.lowerBound < 10_000 : $0.upperBound > rig.end - 10_000 + count }
        #expect(rig.misses < 64, "FLEXPAGE_SEED=\(seed)")
        #expect(wrong.reduce(0) { $0 + $1.count } <= 128, "FLEXPAGE_SEED=\(seed)")
        #expect(rig.pagesPlannedTwice <= 512, "FLEXPAGE_SEED=\(seed)")
    }

    /// If a plan was dropped (no memory, a failure, a full queue) the stream is not lost: it continues from its
    /// reader's next miss.
    @Test func droppedPlansDoNotEndIt() {
        let rig = ReadaheadRig()
        for page in 0..<400 as Range<UInt64> {
            rig.isDropping = page % 100 < 80
            rig.access(page..<page + 1)
        }
        let missesSoFar = rig.misses
        rig.isDropping = false
        for page in 400..<rig.end { rig.access(page..<page + 1) }
        // What had been asked for and dropped is missed once each; then everything is there.
        #expect(rig.misses - missesSoFar <= 512)
        #expect(!rig.isPlannedTwice)
    }

    /// A miss that is reported again and again, as when memory is short, is one access.
    @Test func theSameMissAgainIsNoPattern() {
        let rig = ReadaheadRig()
        for _ in 0..<10 { #expect(rig.readahead.missed(100..<108, unused: .none).isEmpty) }
        #expect(rig.readahead.missed(108..<116, unused: .none).isEmpty)
        #expect(rig.readahead.missed(116..<124, unused: .none)[0] == 124..<140)
    }

    /// At an image's last and first pages there is nothing to read ahead.
    @Test func endsOfTheImage() {
        let rig = ReadaheadRig(pages: 12)
        for page in 9..<12 as Range<UInt64> { rig.access(page..<page + 1) }
        #expect(rig.plans.isEmpty)
        for page in (0..<3 as Range<UInt64>).reversed() { rig.access(page..<page + 1) }
        #expect(rig.plans.allSatisfy { $0[0].upperBound <= 12 })
    }

    /// A window that is much smaller than the last one, for lack of room, still plans something, with a mark. Otherwise
    /// the reader would have to wait at the end of what is outstanding.
    @Test(arguments: [2, -2, 100, -100] as [Int64]) func smallRoomLeavesAMark(step: Int64) {
        var (stream, plan) = running(from: 5000, by: step)
        for window in [64, 16, 4] as [UInt64] {
            #expect(plan.mark.map { stream.arrive(at: $0) } == true)
            plan = stream.advance(by: window, end: 10_000)
            #expect(!plan.isEmpty && plan.mark != nil)
        }
    }

    /// The stream of accesses to two pages each at `first`, `first` + `step` and so on, and what it asks for ahead
    /// after them.
    private func running(from first: UInt64, by step: Int64) -> (stream: ReadaheadStream, plan: ReadaheadPlan) {
        let places = (0..<4 as Range<Int64>).map { number in
            let page = UInt64(Int64(first) + number * step)
            return page..<page + 2
        }
        var stream = ReadaheadStream(places[0], at: 1)
        if let strided = ReadaheadStream(stream, ReadaheadStream(places[1], at: 2), places[2], at: 3), abs(step) > 2 {
            stream = strided
            follow(places[3...], with: &stream)
        } else {
            follow(places[1...2], with: &stream)
        }
        let plan = stream.advance(by: stream.nextWindow(minWindow: 16, maxWindow: 256), end: 10_000)
        return (stream, plan)
    }

    private func follow(_ accesses: ArraySlice<Range<UInt64>>, with stream: inout ReadaheadStream) {
        for access in accesses {
            let follows = stream.follow(access)
            #expect(follows)
        }
    }

    /// All pages at which the stream takes an arrival for one at its mark.
    private func arrivals(_ stream: ReadaheadStream) -> [UInt64] {
        (0..<10_000 as Range<UInt64>).filter { page in
            var stream = stream
            return stream.arrive(at: page)
        }
    }

    /// An arrival at the mark counts anywhere in what was asked for with the mark, because something else may be
    /// resident at the mark itself. For a strided stream, that is the place with the mark. Anywhere else it does not
    /// count, and the mark stays. From wherever the reader has arrived the stream continues.
    @Test(arguments: [2, -2, 100, -100] as [Int64]) func arrivalsAreInWhatIsMarked(step: Int64) throws {
        var (stream, plan) = running(from: 5000, by: step)
        for _ in 0..<4 {
            let mark = try #require(plan.mark)
            #expect(plan[0].contains(mark))
            #expect(arrivals(stream) == Array(plan[0]))
            for page in [0, plan[0].lowerBound - 1, plan[0].upperBound, 9999] {
                let isTaken = stream.arrive(at: page)
                #expect(!isTaken)
            }
            // In the middle, and not at the intended mark.
            let isTaken = stream.arrive(at: plan[0].lowerBound + UInt64(plan[0].count / 2))
            #expect(isTaken)
            #expect(arrivals(stream).isEmpty, "an arrival is reported once")
            plan = stream.advance(by: stream.nextWindow(minWindow: 16, maxWindow: 256), end: 10_000)
        }
    }

    /// A stream that has asked for nothing has no mark for a reader to reach.
    @Test func aFormingStreamHasNoMark() {
        var stream = ReadaheadStream(100..<102, at: 1)
        #expect(arrivals(stream).isEmpty)
        follow([102..<104, 104..<106], with: &stream)
        #expect(arrivals(stream).isEmpty)
    }

    /// What has been asked for is outstanding until the reader has passed it, and nothing else is. What it has passed
    /// is told once, and counts as reached.
    @Test(arguments: [2, -2, 100, -100] as [Int64]) func whatIsAskedForIsOutstanding(step: Int64) throws {
        var (stream, plan) = running(from: 5000, by: step)
        #expect(awaited(stream) == pages(of: plan))
        let reached = stream.reached
        let isTaken = stream.arrive(at: try #require(plan.mark))
        #expect(isTaken)
        let passed = stream.takeProgress().passed
        #expect(passed == (abs(step) == 2 ? 1 : 2), "a page, or a step of two")
        #expect(stream.reached == reached + passed && stream.takeProgress().passed == 0)
        #expect(awaited(stream).count == pages(of: plan).count - Int(passed))
        let next = stream.advance(by: 32, end: 10_000)
        #expect(Set(awaited(stream)).isSuperset(of: pages(of: next)))
    }

    /// A stream that gives up has nothing outstanding, no mark, and half of its merit. It begins again from there.
    @Test(arguments: [2, -2, 100, -100] as [Int64]) func aStreamThatGivesUpBeginsAgain(step: Int64) {
        var (stream, plan) = running(from: 5000, by: step)
        let reached = stream.reached
        stream.giveUp()
        #expect(stream.outstanding == 0 && awaited(stream).isEmpty && arrivals(stream).isEmpty)
        #expect(stream.reached == reached / 2)
        let next = UInt64(Int64(5000) + (abs(step) == 2 ? 3 : 4) * step)
        let follows = stream.follow(next..<next + 2)
        #expect(follows && stream.isDue(next..<next + 2))
        #expect(stream.nextWindow(minWindow: 16, maxWindow: 256) == 16)
        plan = stream.advance(by: 16, end: 10_000)
        #expect(awaited(stream) == pages(of: plan))
    }

    /// A reader that turns round loses what was read ahead of it on the other side, and has passed none of it.
    @Test func aReaderThatTurnsRoundLosesWhatIsOutstanding() {
        var (stream, plan) = running(from: 5000, by: 2)
        let outstanding = UInt64(pages(of: plan).count)
        for page in [4998, 4996, 4994, 4992, 4990] as [UInt64] {
            let follows = stream.follow(page..<page + 2)
            #expect(follows)
        }
        #expect(stream.outstanding == 0 && stream.window == 0)
        let progress = stream.takeProgress()
        #expect(progress.lost == outstanding && progress.passed == 0)
        plan = stream.advance(by: 16, end: 10_000)
        #expect(plan[0] == 4974..<4990)
    }

    private func pages(of plan: ReadaheadPlan) -> [UInt64] {
        (0..<plan.count).flatMap { Array(plan[$0]) }.sorted()
    }

    /// All pages that the stream takes for outstanding: as many as it says.
    private func awaited(_ stream: ReadaheadStream) -> [UInt64] {
        let pages = (0..<10_000 as Range<UInt64>).filter(stream.awaits)
        #expect(stream.outstanding == UInt64(pages.count))
        return pages
    }
}
