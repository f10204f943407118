import Glibc
import Synchronization
import Testing

@testable import Paging

/// Which runs are queued to be read ahead, and what becomes of them.
@Suite struct PrefetchQueueTests {
    private static let size: Int64 = 64 << 20

    private func plan(_ runs: Range<UInt64>...) -> ReadaheadPlan {
        var plan = ReadaheadPlan()
        for run in runs { plan.add(run, marked: nil) }
        return plan
    }

    private func submit(_ plan: ReadaheadPlan, _ rig: Rig, _ provider: Provider? = nil) {
        rig.pages.prefetches.submit(plan, of: Unmanaged.passUnretained(provider ?? rig.provider))
    }

    /// However much is asked for, no more is under way than a quarter of the frames, in no more jobs than there is room
    /// for. The rest is dropped, and nobody waits.
    @Test func itIsBounded() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: PatternImage(size: PrefetchQueueTests.size))
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        for run in 0..<64 as Range<UInt64> { submit(plan(run * 256..<run * 256 + 256), rig) }
        #expect(rig.pages.prefetches.pagesUnderWay <= rig.pages.prefetches.maxPages)
        #expect(rig.pages.prefetches.pagesUnderWay > rig.pages.prefetches.maxPages - 256)
        prefetcher.drain()
        #expect(rig.pages.prefetches.pagesUnderWay == 0)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) <= rig.pages.prefetches.maxPages)
        // And with jobs of one page each their number is the limit.
        for page in 0..<200 as Range<UInt64> { submit(plan(8000 + page * 2..<8001 + page * 2), rig) }
        #expect(rig.pages.prefetches.pagesUnderWay == 64)
        prefetcher.drain()
        prefetcher.stop()
        try rig.end()
    }

    /// A run over several chunks is one read in each of them, over the few pages that are resident already. A part that
    /// is all resident is not read.
    @Test func aRunIsReadOnce() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: PatternImage(size: PrefetchQueueTests.size))
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        #expect(try rig.reads(4096 * 3, at: 300 * 4096))
        submit(plan(200..<600, 610..<611), rig)
        prefetcher.drain()
        #expect(rig.image.reads.load(ordering: .relaxed) == 1 + 3 + 1)
        submit(plan(250..<550), rig)
        prefetcher.drain()
        #expect(rig.image.reads.load(ordering: .relaxed) == 5)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 3 + 400 + 1)
        #expect((200..<600 as Range<UInt64>).allSatisfy { rig.flexpage(at: $0) != nil })
        #expect(try rig.reads(400 << 12, at: 200 << 12))
        #expect(rig.image.reads.load(ordering: .relaxed) == 5)
        prefetcher.stop()
        try rig.end()
    }

    /// Without threads nothing is queued, before there are any and after they have gone.
    @Test func nothingHappensWithoutThreads() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: PatternImage(size: PrefetchQueueTests.size))
        submit(plan(0..<100), rig)
        for page in 0..<20 as Range<Int64> { #expect(try rig.reads(4096, at: page * 4096)) }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        prefetcher.drain()
        prefetcher.stop()
        submit(plan(0..<100), rig)
        prefetcher.drain()
        #expect(rig.pages.prefetches.pagesUnderWay == 0)
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 20)
        try rig.end()
    }

    /// `forget` drops the jobs of its image and no other's.
    @Test func forgetDropsAnImagesJobs() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: PatternImage(size: PrefetchQueueTests.size))
        let other = PatternImage(size: PrefetchQueueTests.size, key: 1)
        let second = try rig.registry.open(ImageIdentity(device: 1, inode: 2)) { other }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        for run in 0..<8 as Range<UInt64> {
            submit(plan(run * 20..<run * 20 + 10), rig)
            submit(plan(run * 20..<run * 20 + 10), rig, second)
        }
        rig.pages.prefetches.forget(rig.provider)
        prefetcher.drain()
        #expect(rig.image.reads.load(ordering: .relaxed) == 0)
        #expect(other.pagesRead.load(ordering: .relaxed) == 80)
        prefetcher.stop()
        try rig.registry.close(second)
        try rig.end()
    }

    /// `forget` waits for what is being read of its image, and not for reads of others, which may always be busy.
    @Test func forgetWaitsForItsImageAlone() throws {
        let gate = Gate()
        let image = PatternImage(size: PrefetchQueueTests.size) { _ in gate.pass() }
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: image)
        let second = try rig.registry.open(ImageIdentity(device: 1, inode: 2)) {
            PatternImage(size: PrefetchQueueTests.size, key: 1)
        }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 1)
        try Watchdog.guarding("forget") { () throws in
            submit(plan(0..<10), rig)
            Thread.wait { gate.arrivals == 1 }
            submit(plan(0..<10), rig, second)
            // Its jobs are only queued.
            try rig.registry.close(second)
            let forgetter = Companion { rig.pages.prefetches.forget(rig.provider) }
            forgetter.waitUntilAsleep()
            #expect(!forgetter.hasEnded)
            gate.open()
            forgetter.join()
            prefetcher.stop()
        }
        try rig.end()
    }

    /// The threads end while jobs are queued, and others can be started afterwards.
    @Test func stopEnds() throws {
        let rig = try Rig(
            memory: 16 << 20, readahead: 1 << 20,
            image: PatternImage(size: PrefetchQueueTests.size, faults: Faults(maxDelay: 500)))
        try Watchdog.guarding("the threads end") {
            for round in 0..<20 as Range<UInt64> {
                let prefetcher = try Prefetcher(pages: rig.pages, threads: Int(round % 5))
                for run in 0..<32 as Range<UInt64> { submit(plan(run * 97 + round..<run * 97 + round + 9), rig) }
                prefetcher.stop()
            }
        }
        try rig.end()
        #expect(rig.image.reads.load(ordering: .relaxed) <= 20 * 64)
    }
}
