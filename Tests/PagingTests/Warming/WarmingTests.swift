import Glibc
import TestSupport
import Testing

@testable import Paging

/// Pages that were resident once are read again, and nobody is harmed by it.
@Suite struct WarmingTests {
    private static let size: Int64 = 256 << 20

    private func warm(_ provider: Provider, _ runs: (Range<UInt64>, UInt8)...) {
        provider.warm(runs.map { ResidentRun($0.0, warmth: $0.1) })
    }

    private func rig(
        memory: Int = 16 << 20, arriving: (@Sendable (Range<UInt64>) -> Void)? = nil
    ) throws -> Rig {
        try Rig(memory: memory, image: PatternImage(size: WarmingTests.size, arriving: arriving))
    }

    /// The warmest first, in large reads, over small gaps that take no memory. Each page comes to its queue, with its
    /// hits, and clients get the right bytes without another read.
    @Test func theWarmestFirst() throws {
        let log = Guarded<[Range<UInt64>]>([])
        let rig = try rig { pages in log.withLock { $0.append(pages) } }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 1)
        try Watchdog.guarding("warming") { () throws in
            warm(
                rig.provider, (1000..<1010, 15), (1012..<1020, 15), (300..<700, 10), (5..<6, 3), (50..<52, 0),
                (58..<60, 0))
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect(log.withLock(\.self) == [1000..<1020, 300..<512, 512..<700, 5..<6, 50..<60])
        #expect(rig.provider.heldPages == 10 + 8 + 400 + 1 + 2 + 2)
        for (page, queue, hits) in [
            (1000, .main, 3), (1019, .main, 3), (600, .main, 1), (5, .probation, 1), (59, .probation, 0),
        ] as [(UInt64, PageQueue.Name, UInt32)] {
            #expect(rig.queue(page) == queue && rig.state(page)?.hits == hits, "page \(page)")
        }
        #expect(rig.flexpage(at: 1010) == nil && rig.flexpage(at: 55) == nil)
        let reads = rig.image.reads.load(ordering: .relaxed)
        #expect(try rig.reads(400 << 12, at: 300 << 12) && rig.reads(10 << 12, at: 1000 << 12))
        #expect(rig.image.reads.load(ordering: .relaxed) == reads)
        try rig.end()
    }

    /// What the list has of a chunk is read at once, however warm. A flexpage comes to the queue of its warmest page.
    /// The chunk with the warmest page comes first.
    @Test func aChunkAtOnce() throws {
        let log = Guarded<[Range<UInt64>]>([])
        let rig = try rig { pages in log.withLock { $0.append(pages) } }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 1)
        try Watchdog.guarding("warming") { () throws in
            // Between them are gaps of 8 pages each, 112 in all.
            let scattered = (0..<15 as Range<UInt64>).map { number in
                ResidentRun(512 + number * 16..<520 + number * 16, warmth: UInt8(number))
            }
            rig.provider.warm(
                [ResidentRun(256..<260, warmth: 9), ResidentRun(260..<264, warmth: 2), ResidentRun(0..<9, warmth: 8)]
                    + scattered.reversed())
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect(log.withLock(\.self) == [512..<744, 256..<264, 0..<9])
        #expect(rig.provider.heldPages == 15 * 8 + 8 + 9)
        #expect((0..<15 as Range<UInt64>).allSatisfy { rig.queue(512 + $0 * 16) == ($0 < 8 ? .probation : .main) })
        #expect(rig.queue(256) == .main && rig.state(260)?.hits == 0)
        try rig.end()
    }

    /// Colder pages of a chunk do not take the memory of warmer ones of another.
    @Test func theColdestIsLeftOut() throws {
        let rig = try rig()
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 1)
        let room = UInt64(rig.pages.maxFramesToWarm(ofImage: rig.provider.image))
        try Watchdog.guarding("warming") { () throws in
            // The first page of each chunk is warm, and there is memory for a third of all pages.
            let chunks = room * 3 / 256
            rig.provider.warm(
                (0..<chunks).map { ResidentRun($0 * 256..<$0 * 256 + 1, warmth: 12) }
                    + (0..<chunks).map { ResidentRun($0 * 256 + 1..<$0 * 256 + 256, warmth: 1) })
            Thread.wait { rig.provider.isWarm }
            #expect((0..<chunks).allSatisfy { rig.flexpage(at: $0 * 256) != nil })
            #expect(rig.flexpage(at: 255) != nil && rig.flexpage(at: (chunks - 1) * 256 + 1) == nil)
            prefetcher.stop()
        }
        #expect(rig.provider.heldPages == Int(room))
        try rig.end()
    }

    /// What is in memory already is not read again, and neither is what lies past the end.
    @Test func whatIsThereIsSkipped() throws {
        let rig = try rig()
        #expect(try rig.reads(64 << 12, at: 0))
        let before = rig.image.pagesRead.load(ordering: .relaxed)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 2)
        let last = UInt64(WarmingTests.size / 4096)
        try Watchdog.guarding("warming") { () throws in
            warm(rig.provider, (0..<100, 12), (last - 2..<last + 9, 4), (last + 20..<last + 30, 4))
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == before + 36 + 2)
        try rig.end()
    }

    /// However long the list is, it takes only memory that is free: what clients have demanded stays, nothing is
    /// recycled, and some memory stays free.
    @Test(arguments: [1 << 20, 4 << 20, 16 << 20]) func onlyFreeMemory(memory: Int) throws {
        let rig = try rig(memory: memory)
        let demanded = UInt64(rig.frames / 3)
        for page in 0..<demanded { #expect(try rig.reads(4096, at: Int64(page) * 4096)) }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 2)
        try Watchdog.guarding("warming") { () throws in
            warm(rig.provider, (10_000..<60_000, 15))
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect((0..<demanded).allSatisfy { rig.flexpage(at: $0) != nil })
        #expect(rig.pages.counters.recycles == 0)
        let kept = max(ImageQueues.probationTarget(ofFrames: rig.frames), rig.pages.maxFramesOfFill)
        #expect(rig.pages.memory.freeFrames >= kept - WarmPace.maxUnderWay * rig.pages.maxFramesOfFill)
        #expect(rig.pages.memory.freeFrames <= kept)
        #expect(rig.flexpage(at: 10_000) != nil || Int(demanded) + kept >= rig.frames)
        // A list for a full memory reads nothing.
        let before = rig.image.pagesRead.load(ordering: .relaxed)
        let again = try Prefetcher(pages: rig.pages, threads: 0, warmers: 1)
        warm(rig.provider, (0..<60_000, 15))
        Thread.wait { rig.pages.prefetches.warmingsLeft == 0 }
        again.stop()
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == before)
        try rig.end()
    }

    /// If several images share the memory, one of them is not warmed beyond half of it.
    @Test func anImagesShare() throws {
        let pages = try Pages(memory: 16 << 20, readahead: 0, isShared: true)
        let registry = ProviderRegistry(pages: pages)
        let image = CountedImage(size: 1 << 30)
        let provider = try registry.open(ImageIdentity(device: 1, inode: 1)) { image }
        let prefetcher = try Prefetcher(pages: pages, threads: 0, warmers: 2)
        Watchdog.guarding("warming") {
            warm(provider, (0..<10_000, 9))
            Thread.wait { provider.isWarm }
            prefetcher.stop()
        }
        #expect(provider.heldPages == pages.frames / 2)
        try registry.close(provider)
    }

    /// While a client's read is under way and none ends, nothing is read. When it has ended, it goes on.
    @Test func clientsComeFirst() throws {
        let gate = Gate()
        let rig = try rig { pages in if pages.contains(9000) { gate.pass() } }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 2)
        try Watchdog.guarding("a client's read") { () throws in
            let client = Companion { #expect(try! rig.reads(4096, at: 9000 * 4096)) }
            Thread.wait { gate.arrivals == 1 }
            warm(rig.provider, (0..<512, 8))
            // One may go: the disk has done something since the last read for warming, of which there was none.
            usleep(100_000)
            #expect(rig.image.reads.load(ordering: .relaxed) == 1)
            #expect(!rig.provider.isWarm)
            gate.open()
            client.join()
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect(rig.image.pagesRead.load(ordering: .relaxed) == 513)
        try rig.end()
    }

    /// A disk that hangs gets at most two reads. The end of the threads, or of the image, does not wait for the rest of
    /// the list.
    @Test(arguments: [false, true]) func theEndIsSoon(byForgetting: Bool) throws {
        let gate = Gate()
        let rig = try rig { _ in gate.pass() }
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 2, warmers: 2)
        try Watchdog.guarding("an end") { () throws in
            warm(rig.provider, (0..<20_000, 8))
            Thread.wait { gate.arrivals == 2 }
            usleep(30_000)
            #expect(gate.arrivals == 2)
            if byForgetting {
                let forgetter = Companion { rig.pages.prefetches.forget(rig.provider) }
                forgetter.waitUntilAsleep()
                gate.open()
                forgetter.join()
            } else {
                prefetcher.endWarming()
                gate.open()
            }
            prefetcher.stop()
        }
        #expect(!rig.provider.isWarm)
        #expect(gate.arrivals == 2)
        try rig.end()
    }

    /// What cannot be read is passed over. A client hears of it, and warming goes on.
    @Test func badPages() throws {
        let image = PatternImage(size: WarmingTests.size, faults: Faults(badPages: [3, 700]))
        let rig = try Rig(memory: 16 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 2)
        try Watchdog.guarding("bad pages") { () throws in
            warm(rig.provider, (0..<8, 8), (300..<310, 8), (690..<710, 8), (2000..<2010, 2))
            Thread.wait { rig.provider.isWarm }
            prefetcher.stop()
        }
        #expect(rig.flexpage(at: 305) != nil && rig.flexpage(at: 2005) != nil)
        #expect(rig.readError(4096, at: 3 * 4096)?.code == EIO)
        #expect(try rig.reads(4096, at: 4 * 4096))
        try rig.end()
    }

    /// Clients that read and write what is being warmed get the right bytes, whoever is first, and in little memory.
    @Test(arguments: Seeds.of(plain: 5, optimised: 20, sanitized: 2)) func besideClients(seed: UInt64) throws {
        let pattern = Pattern(key: 1)
        let image = HookedImage(size: 8 << 20, pattern: pattern, isReadOver: true)
        let rig = try HookedRig(memory: 4 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0, warmers: 2)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 20)
        let verdict = Verdict()
        let new = Pattern(key: 2)
        try Watchdog.guarding("beside clients, seed \(seed)") { () throws in
            warm(rig.provider, (0..<1000, 14), (1000..<2048, 1))
            Thread.run(3) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for _ in 0..<400 {
                    // Each thread has pages of its own.
                    let page = UInt64(random.place(below: 682)) * 3 + UInt64(number)
                    verdict.expect((try? rig.write(new, page)) != nil, "page \(page) is written")
                    verdict.expect((try? rig.holds(new, page)) == true, "page \(page) is what was written")
                }
            }
            Thread.wait { rig.pages.prefetches.warmingsLeft == 0 }
            prefetcher.stop()
            try rig.pager.flush()
            writeback.stop()
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        for page in 0..<2048 as Range<UInt64> { #expect(image.holds(new, page) || image.holds(pattern, page)) }
        try rig.end()
    }
}
