import TestSupport
import Testing

@testable import Paging

/// What an Advisor says is what the other amounts of memory do.
@Suite struct AdvisorTests {
    private static let frames = 4096
    #if DEBUG
        private static let (seeds, accesses) = (1 as UInt64, 30_000)
    #else
        private static let (seeds, accesses) = (5 as UInt64, 150_000)
    #endif

    /// Zipf's law and a scan now and then: the same accesses in memories of other sizes miss as often as advised.
    @Test(.oneThread, arguments: 1...AdvisorTests.seeds as ClosedRange<UInt64>) func adviceComesTrue(seed: UInt64)
        throws
    {
        let rig = try AdviceRig(frames: AdvisorTests.frames)
        try AdvisorTests.run(seed) { try rig.read($0) }
        let advice = try #require(rig.pages.advice())
        #expect(advice.points.count == MiniatureSize.all.count)
        #expect(rig.pages.droppedSamples == 0)
        #expect(advice.misses == rig.pages.counters.misses && advice.samples * 32 > advice.reads / 2)
        var errors: [Double] = []
        for (size, point) in zip(MiniatureSize.all, advice.points) {
            let other = try AdviceRig(frames: size.scaled(AdvisorTests.frames), advice: 0)
            try AdvisorTests.run(seed) { try other.read($0) }
            errors.append(abs(point.misses / Double(advice.reads) - other.missRatio))
        }
        #expect(errors[MiniatureSize.present] < 0.0001, "what has happened is known")
        #expect(errors.allSatisfy { $0 < 0.04 }, "\(errors)")
        #expect(errors.reduce(0, +) / Double(errors.count) < 0.02, "\(errors)")
        rig.checkInvariants()
    }

    private static func run(_ seed: UInt64, _ read: (UInt64) throws -> Void) rethrows {
        var random = SplitMix64(seed: seed)
        for access in 0..<accesses {
            try read(AdviceRig.popular(&random, of: 5 * frames))
            if access % 50_000 == 19_999 {
                for page in 0..<UInt64(frames) { try read(1 << 24 + UInt64(access) << 8 + page) }
            }
        }
    }

    /// Each image has advice of its own. One that fits gains nothing by more memory; one that is scanned again and
    /// again gains all of it. The sum is that of all.
    @Test func eachImageHasItsOwn() throws {
        let rig = try AdviceRig(frames: AdvisorTests.frames, images: 2)
        for round in 0..<12 {
            for page in 0..<1000 as Range<UInt64> { try rig.read(page, ofImage: 0) }
            if round % 4 == 0 { for page in 0..<6000 as Range<UInt64> { try rig.read(page, ofImage: 1) } }
        }
        let (small, large) = (rig.pages.advice(of: rig.providers[0])!, rig.pages.advice(of: rig.providers[1])!)
        let all = rig.pages.advice()!
        #expect(small.reads == 12_000 && large.reads == 18_000 && all.reads == 30_000)
        #expect(small.points.last!.misses < 2000 && small.points[MiniatureSize.present].misses < 2500)
        #expect(large.points[0].misses > 16_000, "a scan of more than the memory finds nothing")
        #expect(large.points.last!.misses < 8000, "with eight times the memory, only the first scan misses")
        #expect(all.misses == small.misses + large.misses)
        rig.checkInvariants()
    }

    /// A closed image leaves its place to another one, which begins without reads and without pages.
    @Test func aClosedImageIsForgotten() throws {
        let rig = try AdviceRig(frames: AdvisorTests.frames)
        for page in 0..<3000 as Range<UInt64> { try rig.read(page) }
        #expect(rig.pages.advice()!.reads == 3000)
        try rig.registry.close(rig.providers[0])
        let other = try rig.registry.open(ImageIdentity(device: 1, inode: 9)) { NullImage(size: 1 << 40) }
        #expect(other.image == rig.providers[0].image, "the number is used again")
        #expect(rig.pages.advice()!.reads == 0)
        let pager = Pager(other)
        for page in 0..<3000 as Range<Int64> { try pager.populate(page * 4096..<(page + 1) * 4096) }
        let advice = rig.pages.advice()!
        #expect(advice.reads == 3000 && advice.points.allSatisfy { $0.misses > 2400 }, "\(advice)")
        rig.checkInvariants()
        try rig.registry.close(other)
    }

    /// A reserve holds in miniature too: scans of other images take nothing of it.
    @Test(.oneThread) func reservesHoldInMiniature() throws {
        func misses(reserved: Bool) throws -> Double {
            let rig = try AdviceRig(frames: AdvisorTests.frames, images: 4)
            for provider in rig.providers { rig.pages.setReserve(.bytes(0), ofImage: provider.image) }
            if reserved { rig.pages.setReserve(.share(0.5), ofImage: rig.providers[0].image) }
            for round in 0..<4 as Range<UInt64> {
                for page in 0..<1600 as Range<UInt64> { try rig.read(page, ofImage: 0) }
                for page in 0..<2500 as Range<UInt64> {
                    for image in 1...3 { try rig.read(page + round * 2500, ofImage: image) }
                }
            }
            return rig.pages.advice(of: rig.providers[0])!.points[MiniatureSize.present].misses
        }
        #expect(try misses(reserved: true) < 2400)
        #expect(try misses(reserved: false) > 4000)
    }

    /// Writes take memory and are no reads. What is dropped is gone in miniature too.
    @Test func writesAndDrops() throws {
        let rig = try AdviceRig(frames: AdvisorTests.frames)
        let data = TestBuffer(1 << 20)
        try rig.pagers[0].write(from: UnsafeRawBufferPointer(data.buffer(1 << 20)), at: 0, forced: false)
        rig.pages.digestSamples()
        #expect(rig.pages.advice()!.reads == 0)
        for page in 0..<256 as Range<UInt64> { try rig.read(page) }
        let found = rig.pages.advice()!
        #expect(found.reads == 256 && found.points.allSatisfy { $0.misses == 0 }, "\(found)")
        try rig.pagers[0].flush()
        #expect(rig.providers[0].dropClean() == 256)
        for page in 0..<256 as Range<UInt64> { try rig.read(page) }
        let missed = rig.pages.advice()!
        #expect(missed.misses == 256)
        #expect(missed.points.last!.misses == 256, "\(missed)")
        rig.checkInvariants()
    }

    /// Samples that are read by clients at once, while others digest: nothing is lost, and everything agrees.
    @Test func manyClients() throws {
        let rig = try AdviceRig(frames: AdvisorTests.frames, images: 3)
        let thread = try AdviceThread(pages: rig.pages)
        Thread.run(4) { number in
            var random = SplitMix64(seed: 5, stream: UInt64(number))
            for _ in 0..<8000 {
                let page = Int64(AdviceRig.popular(&random, of: 9000))
                try? rig.pagers[number % 3].populate(page * 4096..<(page + 1) * 4096)
            }
        }
        thread.stop()
        rig.pages.digestSamples()
        let advice = rig.pages.advice()!
        #expect(advice.reads == rig.pages.counters.hits + rig.pages.counters.misses)
        #expect(advice.samples + rig.pages.droppedSamples > 500)
        rig.checkInvariants()
    }

    /// What was counted long ago counts half.
    @Test func theDistantPastCountsLess() throws {
        let rig = try AdviceRig(frames: AdvisorTests.frames)
        for page in 0..<8000 as Range<UInt64> { try rig.read(page) }
        let before = rig.pages.advice()!
        let advisor = rig.pages.advisor!
        advisor.monitor.withLock { advisor.halve { _ in Advisor.Baseline(reads: 8000, misses: 8000) } }
        let after = rig.pages.advice()!
        #expect(after.reads == 4000 && after.misses == 4000 && after.samples == before.samples / 2)
        #expect(after.points[MiniatureSize.present].misses == 4000)
    }
}
