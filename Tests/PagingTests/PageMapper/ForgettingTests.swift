import Glibc
import TestSupport
import Testing

@testable import Paging

/// Another process has changed the image. What was read of it before is forgotten, and nothing older appears
/// afterwards.
@Suite struct ForgettingTests {
    /// Resident pages are read anew, in flexpages of every size, and the memory of the forgotten ones is free.
    @Test func whatIsResidentIsReadAnew() throws {
        let image = ChangingImage(size: (3 << 20) + 5000)
        let rig = try PagingRig(memory: 8 << 20, image: image)
        for count in [4096, 65536, 1 << 20] { #expect(try rig.generations(count, at: Int64(count)) == [1]) }
        #expect(try rig.generations(5000, at: 3 << 20) == [1])
        image.change()
        #expect(try rig.generations(4096, at: 4096) == [1], "the page is cached")
        let resident = rig.frames - rig.pages.memory.freeFrames
        #expect(rig.provider.forgetImage() == resident)
        #expect(rig.pages.memory.freeFrames == rig.frames)
        #expect(try rig.generations(3 << 20, at: 0) == [2])
        #expect(try rig.generations(5000, at: 3 << 20) == [2])
        try rig.end()
    }

    /// Known zeroes and hints of holes go too: bytes that another process has written to a hole are read.
    @Test func zeroesAreForgotten() throws {
        let image = HoleImage()
        let rig = try PagingRig(memory: 4 << 20, image: image)
        try rig.pager.populate(0..<4 << 20)
        #expect(rig.pages.counters.knownZeroes == 1024)
        try image.fill(pages: 0..<1024, with: 9)
        #expect(rig.provider.forgetImage() == 0, "zeroes take no memory")
        #expect(rig.pages.counters.knownZeroes == 0)
        let isHintLeft = rig.provider.mapper.context.hadHole(at: 4096)
        #expect(!isHintLeft)
        #expect(try rig.holds(9, count: 4 << 20, at: 0))
        try rig.end()
    }

    /// A question about holes is asked before the image is forgotten and answered afterwards. The answer makes nothing
    /// known.
    @Test func anAnswerThatIsOutOfDate() throws {
        let image = HoleImage()
        let rig = try PagingRig(memory: 4 << 20, image: image)
        image.gate = Gate()
        Watchdog.guarding("an answer that is out of date") {
            Thread.run(2) { number in
                if number == 0 {
                    let shard = rig.pages.accessMap(ofImage: rig.provider.image).shard(of: 300)
                    rig.provider.mapper.askForHole(at: 300 * 4096, on: shard)
                } else {
                    Thread.wait { image.gate!.arrivals > 0 }
                    try? image.fill(pages: 0..<1024, with: 9)
                    _ = rig.provider.forgetImage()
                    image.gate!.open()
                }
            }
        }
        #expect(rig.pages.counters.knownZeroes == 0)
        #expect(try rig.holds(9, count: 4096, at: 300 * 4096), "older zeroes hide newer bytes")
        try rig.end()
    }

    /// A fill has read older bytes when the image is forgotten. It publishes them to those that wait for it, and to
    /// nobody later: a client's fill, and one of reading ahead (invariant 10).
    @Test(arguments: [false, true]) func aFillUnderWay(isAhead: Bool) throws {
        let gate = Gate()
        let image = ChangingImage(size: 2 << 20) { _ in gate.pass() }
        let rig = try PagingRig(memory: 8 << 20, image: image)
        let verdict = Verdict()
        Watchdog.guarding("a fill under way") {
            let filling = Thread.start {
                if isAhead {
                    rig.provider.mapper.readAhead(0..<256, mark: 200)
                } else {
                    verdict.expect((try? rig.generations(65536, at: 0)) == [1], "a waiter gets what it has not read")
                }
            }
            Thread.wait { gate.arrivals == 1 }
            image.change()
            let forgetting = Companion { _ = rig.provider.forgetImage() }
            Thread.wait { !rig.provider.mapper.context.reservations.isEmpty }
            // Readers that come now wait for the fill under way, or begin none before the image is forgotten.
            let readers = (0..<3).map { number in
                Companion { _ = try? rig.generations(4096, at: Int64(number) << 19) }
            }
            for waiter in [forgetting] + readers { waiter.waitUntilAsleep() }
            verdict.expect(!forgetting.hasEnded, "forgetting does not wait for the fill")
            gate.open()
            pthread_join(filling, nil)
            for waiter in [forgetting] + readers { waiter.join() }
        }
        verdict.report("a fill under way")
        #expect(try rig.generations(2 << 20, at: 0) == [2])
        try rig.end()
    }

    /// A page that a reader has is not taken from it: forgetting waits.
    @Test func aLoanUnderWay() throws {
        let image = ChangingImage(size: 1 << 20)
        let rig = try PagingRig(memory: 4 << 20, image: image)
        #expect(try rig.generations(65536, at: 0) == [1])
        var progress = PageMapper.RequestProgress()
        var forgetting: Companion?
        do {
            let loan = try rig.provider.mapper.lend(0..<4096, &progress)
            image.change()
            forgetting = Companion { _ = rig.provider.forgetImage() }
            Thread.wait { !rig.provider.mapper.context.reservations.isEmpty }
            forgetting?.waitUntilAsleep()
            #expect(forgetting?.hasEnded == false)
            loan.forEachPart { part, _ in #expect(part[0] == 1) }
        }
        Watchdog.guarding("a loan under way") { forgetting?.join() }
        #expect(try rig.generations(1 << 20, at: 0) == [2])
        try rig.end()
    }

    /// Only the image in question is forgotten, and its own Readahead and queue go on.
    @Test func otherImagesStay() throws {
        let (one, other) = (ChangingImage(size: 1 << 20), ChangingImage(size: 1 << 20))
        let rig = try PagingRig(memory: 8 << 20, image: one)
        let second = try rig.registry.open(ImageIdentity(device: 1, inode: 2)) { other }
        let scratch = TestBuffer(1 << 20)
        try Pager(second).read(into: scratch.buffer(1 << 20), at: 0)
        #expect(try rig.generations(1 << 20, at: 0) == [1])
        #expect(rig.provider.forgetImage() == 256)
        #expect(rig.frames - rig.pages.memory.freeFrames == 256)
        try rig.registry.close(second)
        try rig.end()
    }

    /// Readers, reading ahead and recycling work under load while the image changes again and again. A reader that
    /// begins after the image was forgotten sees no older state in any of its pages.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func underLoad(seed: UInt64) throws {
        let image = ChangingImage(size: 4 << 20)
        let rig = try PagingRig(memory: 2 << 20, readahead: 256 << 10, image: image)
        let prefetcher = try Prefetcher(pages: rig.pages)
        let isOver = Gate()
        let verdict = Verdict()
        Watchdog.guarding("forgetting under load") {
            Thread.run(5) { number in
                if number == 0 {
                    for _ in 0..<200 {
                        image.change()
                        _ = rig.provider.forgetImage()
                        image.noteForgotten()
                        rig.pages.checkInvariants()
                        usleep(500)
                    }
                    isOver.open()
                } else {
                    var random = SplitMix64(seed: seed, stream: UInt64(number))
                    var offset: Int64 = 0
                    while !isOver.isOpened {
                        offset = random.once(in: 8) ? Int64(random.pick(0...1000)) * 4096 : offset
                        let count = min(4096 * random.pick(1...16), Int(image.size - offset))
                        let known = image.forgotten
                        let found = (try? rig.generations(count, at: offset)) ?? []
                        verdict.expect(
                            !found.isEmpty && found.allSatisfy { $0 >= known }, "read \(found), known was \(known)")
                        offset = (offset + Int64(count)) % image.size
                    }
                }
            }
        }
        prefetcher.stop()
        verdict.report("seed \(seed)")
        try rig.end()
    }
}

extension PagingRig where Image == ChangingImage {
    /// The generations of the range's bytes, as a client reads them.
    func generations(_ count: Int, at offset: Int64) throws -> Set<UInt8> {
        let scratch = TestBuffer(count)
        let buffer = scratch.buffer(count)
        try pager.read(into: buffer, at: offset)
        return Set(stride(from: 0, to: count, by: 512).map { buffer[$0] })
    }
}

extension PagingRig where Image == HoleImage {
    /// True if a client that reads the range finds only bytes of `byte`.
    func holds(_ byte: UInt8, count: Int, at offset: Int64) throws -> Bool {
        let scratch = TestBuffer(count)
        let buffer = scratch.buffer(count)
        try pager.read(into: buffer, at: offset)
        return scratch.holds(buffer, byte)
    }
}

extension HoleImage {
    /// Another process writes to the image.
    func fill(pages: Range<Int>, with byte: UInt8) throws {
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { page.deallocate() }
        memset(page, Int32(byte), 4096)
        for number in pages {
            var piece = iovec(iov_base: page, iov_len: 4096)
            try withUnsafePointer(to: &piece) {
                try writeOut(UnsafeBufferPointer(start: $0, count: 1), at: Int64(number) * 4096)
            }
        }
    }
}
