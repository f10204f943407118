import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// Readers, with threads that read ahead of them.
@Suite struct PrefetcherTests {
    /// Base pages that the prefetching threads have asked an image for, and those that others have.
    private final class Counts: @unchecked Sendable {
        let ahead = Tally()
        let own = Tally()
        /// The readers' threads. No Mutex, because the thread sanitizer does not know what a Mutex orders.
        private let readers: UnsafeMutablePointer<Atomic<UInt>>
        private let readerCount = Tally()

        init() {
            readers = .allocate(capacity: 8)
            for index in 0..<8 { (readers + index).initialize(to: Atomic(0)) }
        }

        deinit { readers.deallocate() }

        /// The calling thread is a reader.
        func isReader() { readers[readerCount.add() - 1].store(UInt(pthread_self()), ordering: .relaxed) }

        func count(_ pages: Range<UInt64>) {
            let isOwn = (0..<8).contains { readers[$0].load(ordering: .relaxed) == UInt(pthread_self()) }
            (isOwn ? own : ahead).add(pages.count)
        }
    }

    /// A sequential reader that gives the threads time gets the right bytes. All but its first few pages, to the
    /// image's odd end, have been read by others, and once.
    @Test(arguments: [false, true]) func aSequentialReaderFindsItAllThere(isBackwards: Bool) throws {
        let counts = Counts()
        let image = PatternImage(size: 12 << 20 | 777) { counts.count($0) }
        let rig = try Rig(memory: 32 << 20, readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 4)
        counts.isReader()
        let pages = (image.size + 4095) / 4096
        try Watchdog.guarding("a sequential reader") { () throws in
            for number in 0..<pages {
                let offset = (isBackwards ? pages - 1 - number : number) * 4096
                #expect(try rig.reads(Int(min(4096, image.size - offset)), at: offset))
                Thread.wait { rig.pages.prefetches.pagesUnderWay == 0 }
            }
            prefetcher.stop()
        }
        #expect(counts.own.count == 3)
        #expect(counts.own.count + counts.ahead.count == Int(pages))
        try rig.end()
    }

    /// Readers in a hurry get the right bytes whoever reads them. If there is room for all pages, none is read twice.
    @Test(arguments: Seeds.of(plain: 10, sanitized: 4)) func readersInAHurry(seed: UInt64) throws {
        let image = PatternImage(size: 8 << 20 | 99, faults: Faults(maxDelay: 50), seed: seed)
        let rig = try Rig(memory: 32 << 20, readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 3)
        let verdict = Verdict()
        Watchdog.guarding("readers in a hurry, seed \(seed)") {
            Thread.run(4) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                PrefetcherTests.readOn(rig, from: Int64(number / 2) << 20, maxRequest: 64 << 10, &random, verdict)
                rig.pages.checkInvariants()
            }
            prefetcher.stop()
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(image.pagesRead.load(ordering: .relaxed) == 2049)
        try rig.end()
    }

    /// Continues reading from `begin`, in requests of any length up to `maxRequest`, as many as given or to the end.
    private static func readOn(
        _ rig: Rig, from begin: Int64, maxRequest: Int, requests: Int = .max, _ random: inout SplitMix64,
        _ verdict: Verdict
    ) {
        var (offset, left) = (begin, requests)
        while offset < rig.image.size, left > 0 {
            let count = min(Int64(random.length(upTo: maxRequest)), rig.image.size - offset)
            verdict.expect((try? rig.reads(Int(count), at: offset)) == true, "\(count) bytes at \(offset)")
            offset += count
            left -= 1
        }
    }

    /// Random readers have nearly nothing read ahead.
    @Test func randomReadersCauseNone() throws {
        let counts = Counts()
        let image = PatternImage(size: 4 << 30) { counts.count($0) }
        let rig = try Rig(memory: 8 << 20, readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 2)
        let verdict = Verdict()
        Watchdog.guarding("random readers") {
            Thread.run(4) { number in
                counts.isReader()
                var random = SplitMix64(seed: 21, stream: UInt64(number))
                for _ in 0..<1500 {
                    let offset = random.place(below: image.size / 4096) * 4096
                    verdict.expect((try? rig.reads(4096, at: offset)) == true, "wrong bytes at \(offset)")
                }
            }
            prefetcher.stop()
        }
        verdict.report("random readers")
        #expect(counts.ahead.count * 50 <= counts.own.count)
        try rig.end()
    }

    /// A bad page in what is read ahead fails only its own readers: sequential readers get every other byte.
    @Test(arguments: [0, 1, 300, 511] as [UInt64], [Pages.minMemory, 8 << 20])
    func badPagesAheadAreNobodysError(bad: UInt64, memory: Int) throws {
        let image = PatternImage(size: 2 << 20, faults: Faults(badPages: [bad], maxDelay: 20))
        let rig = try Rig(memory: memory, readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 2)
        let verdict = Verdict()
        Watchdog.guarding("a bad page ahead") {
            Thread.run(3) { number in
                for step in 0..<512 as Range<UInt64> {
                    let page = number == 2 ? 511 - step : step
                    let error = rig.readError(4096, at: Int64(page) * 4096)
                    verdict.expect(error?.code == (page == bad ? EIO : nil), "page \(page): \(error as Any)")
                    if error == nil {
                        let isRight = (try? rig.reads(4096, at: Int64(page) * 4096)) == true
                        verdict.expect(isRight, "wrong bytes in page \(page)")
                    }
                }
            }
            prefetcher.stop()
        }
        verdict.report("bad page \(bad)")
        try rig.end()
    }

    /// Pages read ahead enter probation unused. Their first use is no hit. Later ones count from then on as those of
    /// any new page. The reader's arrival at the mark is reported once.
    @Test func theFirstUseIsNoHit() throws {
        let rig = try Rig(memory: 8 << 20, readahead: 1 << 20, image: PatternImage(size: 16 << 20))
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 0)
        func state(_ page: UInt64) throws -> PageState {
            let id = try #require(rig.flexpage(at: page))
            #expect(rig.pages.table[id].pointee.queue == .probation)
            return PageState(rig.pages.table.word(id).pointee.state.load(ordering: .relaxed))
        }
        rig.provider.mapper.readAhead(64..<80, mark: 64)
        #expect(try state(64).has(PageState.prefetched) && state(64).has(PageState.marked))
        #expect(try state(64).hits == 0 && state(64).pins == 0)
        // The page is old enough in probation for hits to count.
        rig.provider.mapper.readAhead(1024..<1280, mark: nil)
        #expect(try state(1024).has(PageState.prefetched) && !state(1024).has(PageState.marked))
        #expect(try rig.reads(4096, at: 64 << 12))
        #expect(try !state(64).has(PageState.prefetched | PageState.marked) && state(64).hits == 0)
        #expect(try rig.reads(4096, at: 64 << 12))
        #expect(try state(64).hits == 0)
        rig.provider.mapper.readAhead(2048..<2304, mark: nil)
        #expect(try rig.reads(4096, at: 64 << 12))
        #expect(try state(64).hits == 1)
        prefetcher.stop()
        try rig.end()
    }

    /// A scan that reads large flexpages in pieces does not fill main with them, however long before it they were read
    /// ahead.
    @Test func aScanInPiecesIsNotPromoted() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 1 << 20, image: PatternImage(size: 40 << 20))
        for chunk in 0..<40 as Range<UInt64> {
            rig.provider.mapper.readAhead(chunk * 256..<chunk * 256 + 256, mark: nil)
            guard chunk >= 8 else { continue }
            for piece in Int64(chunk - 8) * 16..<Int64(chunk - 7) * 16 {
                #expect(try rig.reads(64 << 10, at: piece << 16))
            }
        }
        for page in 0..<40 * 256 as Range<UInt64> {
            guard let id = rig.flexpage(at: page) else { continue }
            #expect(rig.pages.table[id].pointee.queue == .probation, "page \(page)")
        }
        try rig.end()
    }

    /// Pages read ahead and recycled without use are counted, and used pages are not.
    @Test func unusedPagesAreCounted() throws {
        let rig = try Rig(memory: Pages.minMemory, readahead: 1 << 20, image: PatternImage(size: 16 << 20))
        rig.provider.mapper.readAhead(0..<16, mark: nil)
        rig.provider.mapper.readAhead(16..<17, mark: nil)
        #expect(try rig.reads(4096, at: 16 << 12))
        // No read goes on, because none has a resident page just before it.
        for page in stride(from: Int64(1000), to: 3000, by: 2) { #expect(try rig.reads(4096, at: page * 4096)) }
        #expect(rig.flexpage(at: 0) == nil && rig.flexpage(at: 16) == nil)
        // The misses meanwhile have asked for the number. What they learnt shows in the next window.
        rig.provider.mapper.readAhead(0..<16, mark: nil)
        let (waste, image) = (rig.pages.readaheadWaste, rig.provider.image)
        _ = waste.take(ofImage: image)
        while (0..<16).contains(where: { rig.flexpage(at: $0) != nil }) {
            let region = try #require(rig.pages.takeRegion(order: 0, room: rig.pages.memory.freeFrames + 1))
            rig.pages.give(region)
        }
        #expect(waste.take(ofImage: image).count == 16)
        #expect(waste.take(ofImage: image) == .none)
        try rig.end()
    }

    /// With the minimum of memory, eight threads read three images sequentially, with slow and failing reads. All of
    /// them end, with the right bytes.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 2)) func tinyMemory(seed: UInt64) throws {
        let image = PatternImage(
            size: 6 << 20, faults: Faults(maxDelay: 60, isShort: seed % 2 == 0), seed: seed)
        let rig = try Rig(readahead: 1 << 20, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 4)
        let verdict = Verdict()
        Watchdog.guarding("tiny memory, read ahead, seed \(seed)") {
            Thread.run(8) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                let begin = random.place(below: image.size / 2)
                PrefetcherTests.readOn(rig, from: begin, maxRequest: 32 << 10, requests: 80, &random, verdict)
                rig.pages.checkInvariants()
            }
            prefetcher.stop()
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(rig.pages.counters.peakBytesInUse <= UInt64(Pages.minMemory))
        try rig.end()
    }

    /// One thread closes an image while it is being read ahead, and others open, read and close theirs. A closed image
    /// is never read, and no frame is lost.
    @Test(arguments: Seeds.of(plain: 8, sanitized: 3)) func closingWhileReadingAhead(seed: UInt64) throws {
        let pages = try Pages(memory: 4 << 20, readahead: 1 << 20)
        let registry = ProviderRegistry(pages: pages)
        let prefetcher = try Prefetcher(pages: pages, threads: 3)
        let verdict = Verdict()
        // An image is opened in records that a check of all images looks at.
        let opening = Guarded(0)
        Watchdog.guarding("closing while reading ahead, seed \(seed)") {
            Thread.run(3) { number in
                for round in 0..<20 as Range<UInt64> {
                    PrefetcherTests.openReadClose(registry, UInt64(number), round, seed: seed, opening, verdict)
                    opening.withLock { _ in pages.checkInvariants() }
                }
            }
            prefetcher.stop()
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        pages.checkInvariants(isQuiet: true)
        #expect(pages.memory.freeFrames == pages.memory.metadata.frames)
    }

    private static func openReadClose(
        _ registry: ProviderRegistry, _ number: UInt64, _ round: UInt64, seed: UInt64, _ opening: Guarded<Int>,
        _ verdict: Verdict
    ) {
        let isClosed = Tally()
        let image = PatternImage(size: 4 << 20, key: number, faults: Faults(maxDelay: 300), seed: seed &+ round) { _ in
            verdict.expect(isClosed.count == 0, "a closed image is read")
        }
        do throws(AccessError) {
            let identity = ImageIdentity(device: 9, inode: number)
            let provider = try opening.withLock { _ in
                Result { () throws(AccessError) in
                    try registry.open(identity) { image }
                }
            }.get()
            let pager = Pager(provider)
            let scratch = TestBuffer(8192)
            for step in 0..<Int64(4 + round) {
                let buffer = scratch.buffer(8192)
                try pager.read(into: buffer, at: step * 8192)
                verdict.expect(scratch.holds(buffer, image.pattern, at: step * 8192), "wrong bytes")
            }
            try registry.close(provider)
            isClosed.add()
        } catch {
            verdict.blame("nothing fails here: \(error)")
        }
    }
}
