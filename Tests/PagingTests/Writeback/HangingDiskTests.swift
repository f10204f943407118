import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// Several images in one memory, the disk of one of which hangs: the others go on as if it were not there.
@Suite struct HangingDiskTests {
    private static let size: Int64 = 8 << 20
    private static let others = 3

    /// Images in one Memory. The first one's calls wait at a gate.
    private final class Rig: Sendable {
        let pages: Pages
        let registry: ProviderRegistry
        let gate = Gate()
        let images: [HookedImage]
        let providers: [Provider]

        /// - Parameter hanging: The calls of the first image that hang.
        /// - Parameter bad: A page of the last image that cannot be written.
        init(
            memory: Int, readahead: Int = 0, flushTime: Int? = nil, hanging: Set<HookedImage.Call> = [],
            bad: UInt64? = nil
        ) throws {
            pages = try Pages(memory: memory, flushTime: flushTime, readahead: readahead, isShared: true)
            let registry = ProviderRegistry(pages: pages)
            let gate = self.gate
            let images = (0...HangingDiskTests.others).map { index in
                HookedImage(size: HangingDiskTests.size) { call, pages in
                    if index == 0, hanging.contains(call) { gate.pass() }
                    let isBad = index == HangingDiskTests.others && call == .writeOut && bad.map(pages.contains) == true
                    return isBad ? AccessError(EIO) : nil
                }
            }
            providers = try images.enumerated().map { index, image in
                try registry.open(ImageIdentity(device: 1, inode: UInt64(index))) { image }
            }
            self.images = images
            self.registry = registry
        }

        func write(_ byte: UInt8, _ index: Int, at offset: Int64, count: Int = 4096) throws {
            let scratch = TestBuffer(count)
            let buffer = scratch.buffer(count)
            memset(buffer.baseAddress!, Int32(byte), count)
            try Pager(providers[index]).write(from: UnsafeRawBufferPointer(buffer), at: offset, forced: false)
        }

        /// Lets the disk go on, and closes the images. Then everything is free.
        func end(_ writeback: Writeback?) throws {
            gate.open()
            for provider in providers { try registry.close(provider) }
            writeback?.stop()
            pages.checkInvariants(isQuiet: true)
            #expect(pages.memory.freeFrames == pages.frames)
        }
    }

    /// Six clients fill what the hanging image may have dirty, and one flushes. The others write twenty times as much
    /// as may be dirty, flush, and what they leave dirty goes out by itself.
    @Test(arguments: [nil, 1000]) func writersGoOn(flushTime: Int?) throws {
        let rig = try Rig(memory: 4 << 20, flushTime: flushTime, hanging: [.writeOut, .sync])
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 20)
        try Watchdog.guarding("writers beside a disk that hangs") { () throws in
            var stuck = (0..<6).map { number in
                Thread.start {
                    for page in 0..<Int64(300) { try? rig.write(1, 0, at: Int64(number) << 20 | (page % 256) * 4096) }
                }
            }
            stuck.append(Thread.start { try? rig.providers[0].flush() })
            Thread.wait { rig.gate.arrivals > 0 && rig.pages.dirtyLimit.waits > 0 }
            let ofHanging = rig.providers[0].mapper.context.dirtyLimit
            #expect(ofHanging.pagesOfImage <= rig.pages.dirtyLimit.limit / 2)
            for index in 1...Self.others {
                for page in 0..<Int64(rig.pages.dirtyLimit.limit * 20 / Self.others) {
                    try rig.write(UInt8(index), index, at: page % 2048 * 4096)
                }
                try rig.providers[index].flush()
                try rig.write(9, index, at: 0)
            }
            for index in 1...Self.others {
                Thread.wait { rig.images[index].byte(ofPage: 0) == 9 }
                #expect(rig.images[index].byte(ofPage: 1) == UInt8(index))
            }
            #expect(!rig.gate.isOpened && ofHanging.pagesOfImage > 0, "it hung all the while")
            rig.gate.open()
            for thread in stuck { pthread_join(thread, nil) }
        }
        try rig.end(writeback)
    }

    /// Two images fill what may be dirty in all, and nothing goes out yet. A third one has had a page for long that
    /// cannot be written. A writer of it waits for the others: it gets no error for that page.
    @Test func anOldFailureIsNoReasonToGiveUp() throws {
        let rig = try Rig(memory: 4 << 20, bad: 7)
        let verdict = Verdict()
        let writeback = try Watchdog.guarding("a writer beside two images that fill the limit") { () throws in
            try rig.write(1, Self.others, at: 7 * 4096)
            #expect(throws: AccessError(EIO)) { try rig.providers[Self.others].flush() }
            let stuck = (0..<2).map { index in
                Thread.start { for page in 0..<Int64(1024) { try? rig.write(2, index, at: page * 4096) } }
            }
            Thread.wait { rig.pages.dirtyLimit.pages == rig.pages.dirtyLimit.limit }
            let writer = Companion {
                do {
                    try rig.write(3, Self.others, at: 100 * 4096)
                } catch {
                    verdict.blame("the write failed: \(error)")
                }
            }
            writer.waitUntilAsleep()
            verdict.expect(!writer.hasEnded, "it did not wait")
            let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 20)
            writer.join()
            for thread in stuck { pthread_join(thread, nil) }
            return writeback
        }
        verdict.report("a writer beside two images that fill the limit")
        try Pager(rig.providers[Self.others]).trim(7 * 4096..<8 * 4096, forced: false)
        try rig.end(writeback)
    }

    /// At most half of the crew works for the image that hangs, and at most half of the slots are its own.
    @Test func halfOfTheCrew() throws {
        let rig = try Rig(memory: 16 << 20, hanging: [.writeOut])
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 3_600_000, crew: 6)
        try Watchdog.guarding("half of the crew") { () throws in
            for page in stride(from: 0, to: Int64(2048), by: 8) { try rig.write(1, 0, at: page * 4096) }
            let flushing = Thread.start { try? rig.providers[0].flush() }
            // The client that flushes leads, and three threads of the crew help it. The others must not.
            Thread.wait { rig.gate.arrivals == 4 }
            for index in 1...Self.others {
                for page in stride(from: 0, to: Int64(2048), by: 16) { try rig.write(2, index, at: page * 4096) }
                try rig.providers[index].flush()
            }
            #expect(rig.gate.arrivals == 4)
            rig.gate.open()
            pthread_join(flushing, nil)
        }
        try rig.end(writeback)
    }

    /// Readers of the hanging image fill the queue of reading ahead and its threads as far as they may. A sequential
    /// reader of another image is read ahead for, all the while.
    @Test func readingAheadGoesOn() throws {
        let rig = try Rig(memory: 16 << 20, readahead: 256 << 10, hanging: [.populate])
        let prefetcher = try Prefetcher(pages: rig.pages, threads: 4)
        try Watchdog.guarding("reading ahead beside a disk that hangs") { () throws in
            func submit(_ chunk: UInt64, of index: Int) {
                var plan = ReadaheadPlan()
                plan.add(chunk * 256..<chunk * 256 + 64, marked: nil)
                rig.pages.prefetches.submit(plan, of: Unmanaged.passUnretained(rig.providers[index]))
            }
            for chunk in 0..<UInt64(8) { submit(chunk, of: 0) }
            Thread.wait { rig.gate.arrivals == 2 }
            #expect(rig.pages.prefetches.pagesUnderWay <= rig.pages.prefetches.maxPages / 2)
            for chunk in 0..<UInt64(8) {
                submit(chunk, of: 1)
                let map = rig.pages.accessMap(ofImage: rig.providers[1].image)
                Thread.wait { map.flexpage(at: chunk * 256) != .none }
            }
            #expect(rig.gate.arrivals == 2, "half of the threads")
            rig.gate.open()
            Thread.wait { rig.pages.prefetches.pagesUnderWay == 0 }
        }
        prefetcher.stop()
        try rig.end(nil)
    }

    /// Readers of the hanging image want more than all of the memory. Their fills hold no more than a quarter of it,
    /// and the readers of the others find the rest.
    @Test func readersGoOn() throws {
        let rig = try Rig(memory: 4 << 20, hanging: [.populate])
        try Watchdog.guarding("readers beside a disk that hangs") { () throws in
            let stuck = (0..<16).map { number in
                Thread.start {
                    let scratch = TestBuffer(512 << 10)
                    try? Pager(rig.providers[0]).read(into: scratch.buffer(512 << 10), at: Int64(number) * 512 << 10)
                }
            }
            Thread.wait { rig.gate.arrivals > 0 && rig.pages.counters.waits > 0 }
            #expect(rig.pages.frames - rig.pages.memory.freeFrames <= rig.pages.frames / 4)
            #expect(!rig.pages.waiters.isAnyoneWaiting, "they want no memory of others")
            let scratch = TestBuffer(1 << 20)
            for index in 1...Self.others {
                for offset in stride(from: Int64(0), to: Self.size, by: 1 << 20) {
                    let buffer = scratch.buffer(1 << 20)
                    try Pager(rig.providers[index]).read(into: buffer, at: offset)
                    #expect(scratch.holds(buffer, 0xEE))
                }
            }
            rig.gate.open()
            for thread in stuck { pthread_join(thread, nil) }
        }
        try rig.end(nil)
    }

    /// Readers of the hanging image wait for its share of fills. What is dirty of the others stays in memory until it
    /// is due all the same: nobody is short of memory.
    @Test func nothingGoesOutEarly() throws {
        let rig = try Rig(memory: 4 << 20, hanging: [.populate])
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 3_600_000)
        try Watchdog.guarding("dirty pages beside readers that wait") { () throws in
            let stuck = (0..<16).map { number in
                Thread.start {
                    let scratch = TestBuffer(512 << 10)
                    try? Pager(rig.providers[0]).read(into: scratch.buffer(512 << 10), at: Int64(number) * 512 << 10)
                }
            }
            Thread.wait { rig.gate.arrivals > 0 && rig.pages.counters.waits > 0 }
            try rig.write(3, 1, at: 0)
            // Four looks of the watch, and what each of them could have posted.
            for _ in 0..<4 {
                rig.pages.writebackQueue.kick()
                usleep(50_000)
            }
            #expect(rig.providers[1].dirtyPages == 1 && rig.images[1].byte(ofPage: 0) != 3)
            rig.gate.open()
            for thread in stuck { pthread_join(thread, nil) }
        }
        try rig.end(writeback)
    }

    /// The calls of the hanging image are seen to be under way, and those of the others are not.
    @Test func callsUnderWay() throws {
        let rig = try Rig(memory: 4 << 20, hanging: [.populate])
        try Watchdog.guarding("calls under way") { () throws in
            let stuck = Thread.start { try? Pager(rig.providers[0]).populate(0..<4096) }
            Thread.wait { rig.gate.arrivals > 0 }
            try Pager(rig.providers[1]).populate(0..<4096)
            #expect(rig.providers[0].calls == ImageCalls(begun: 1, ended: 0) && rig.providers[0].calls.isAnyUnderWay)
            #expect(rig.providers[1].calls == ImageCalls(begun: 1, ended: 1) && !rig.providers[1].calls.isAnyUnderWay)
            rig.gate.open()
            pthread_join(stuck, nil)
            #expect(!rig.providers[0].calls.isAnyUnderWay)
        }
        try rig.end(nil)
    }

    /// An image that has no clients any more, and whose disk hangs as it is closed, does not keep others from closing.
    @Test func closingGoesOn() throws {
        let rig = try Rig(memory: 4 << 20, hanging: [.writeOut])
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 10)
        try Watchdog.guarding("closing beside a disk that hangs") { () throws in
            for index in 0...Self.others { try rig.write(3, index, at: 0) }
            let closing = Thread.start { try? rig.registry.close(rig.providers[0]) }
            Thread.wait { rig.gate.arrivals > 0 }
            for index in 1...Self.others { try rig.registry.close(rig.providers[index]) }
            rig.gate.open()
            pthread_join(closing, nil)
        }
        writeback.stop()
        rig.pages.checkInvariants(isQuiet: true)
        #expect(rig.pages.memory.freeFrames == rig.pages.frames)
    }
}
