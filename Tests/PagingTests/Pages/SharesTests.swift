import TestSupport
import Testing

@testable import Paging

/// Which image gives a frame, and how much is reserved for each.
@Suite struct SharesTests {
    // MARK: Who gives

    /// The image furthest above its reserve gives, until others are as far above theirs. An image that is not above its
    /// reserve gives nothing.
    @Test func theFurthestAboveItsReserveGives() throws {
        let rig = try QueueRig(memory: 4 << 20)
        for page in 0..<300 as Range<UInt64> { rig.append(page, image: 0) }
        for page in 0..<250 as Range<UInt64> { rig.append(page, image: 1) }
        for page in 0..<90 as Range<UInt64> { rig.append(page, image: 7) }
        rig.reserve(200, ofImage: 0)
        rig.reserve(100, ofImage: 7)
        // Above their reserves: 100, 250, and 10 below.
        for _ in 0..<150 { #expect(rig.recycleAny()?.image == 1) }
        for _ in 0..<160 { _ = rig.recycleAny() }
        let held = (0..<8).map { rig.queue.share(ofImage: $0).held }
        #expect(held[7] == 90, "it is below its reserve")
        #expect(abs(held[0] - 220) <= 16 && abs(held[1] - 20) <= 16, "\(held): both are equally far above")
        _ = rig.queue.checkInvariants()
    }

    /// In each image the order is its own: the oldest unused page first.
    @Test func eachImageHasItsOrder() throws {
        let rig = try QueueRig()
        for page in 0..<80 as Range<UInt64> { rig.append(page, image: UInt16(page % 3)) }
        var last: [UInt16: UInt64] = [:]
        for _ in 0..<80 {
            let key = try #require(rig.recycleAny())
            #expect(key.page % 3 == UInt64(key.image) && last[key.image] ?? 0 <= key.page)
            last[key.image] = key.page
        }
        #expect(rig.recycleAny() == nil)
        #expect(rig.queue.checkInvariants() == 0)
    }

    /// Reserves hold to the frame: with all others used up to theirs, an image is not taken from before they are.
    @Test(arguments: [1, 5, 15, 16, 17, 40]) func noneGivesOfItsReserveUnlessItMust(excess: Int) throws {
        let rig = try QueueRig(memory: 4 << 20)
        for image in 0..<4 as Range<UInt16> {
            rig.reserve(100, ofImage: image)
            for page in 0..<UInt64(100 + excess) { rig.append(page, image: image) }
        }
        for _ in 0..<4 * excess { _ = rig.recycleAny() }
        for image in 0..<4 as Range<UInt16> { #expect(rig.queue.share(ofImage: image).held == 100) }
        #expect(rig.recycleAny() != nil, "a reserve is no wall")
    }

    /// What the image furthest above its reserve has may all be in use, dirty or going out. Then the next one gives,
    /// and at last the reserves yield. If nothing is idle, the search ends.
    @Test(arguments: [PageState.pin, PageState.exclusive, PageState.writing, PageState.dirty])
    func reservesYield(bits: UInt32) throws {
        let rig = try QueueRig(memory: 4 << 20)
        rig.reserve(400, ofImage: 2)
        let first = (0..<300 as Range<UInt64>).map { rig.append($0, image: 0) }
        let second = (0..<100 as Range<UInt64>).map { rig.append($0, image: 1) }
        let reserved = (0..<50 as Range<UInt64>).map { rig.append($0, image: 2) }
        for id in first { rig.set(bits, id) }
        for _ in 0..<100 { #expect(rig.recycleAny()?.image == 1, "the first has nothing to give") }
        for _ in 0..<50 { #expect(rig.recycleAny()?.image == 2, "nothing else is left") }
        #expect(rig.recycleAny() == nil)
        #expect(rig.queue.checkInvariants() == 300)
        rig.clear(bits, first[211])
        #expect(rig.recycleAny() == PageKey(image: 0, page: 211), "one page among many that are in use is found")
        #expect(rig.recycleAny() == nil)
        _ = (second, reserved)
    }

    /// An image with pages that are not yet durable gives those before others give of their reserves, and after its
    /// own durable ones.
    @Test func pagesNotYetDurableGoBeforeReserves() throws {
        let rig = try QueueRig(memory: 4 << 20)
        rig.reserve(400, ofImage: 1)
        for page in 0..<200 as Range<UInt64> {
            let id = rig.append(page, image: 0)
            if page < 150 { rig.set(PageState.unsynced, id) }
        }
        for page in 0..<200 as Range<UInt64> { rig.append(page, image: 1) }
        for _ in 0..<140 { #expect(rig.recycleAny()?.image == 0) }
    }

    /// A frame for a large Region is of the image that gives, like any other.
    @Test func aLargeRegionIsOfTheImageThatGives() throws {
        let rig = try ManyImagesRig(3, frames: 2048, maxPagesOfFill: 256)
        try rig.use(0..<300, ofImage: 0)
        try rig.use(0..<300, ofImage: 1)
        rig.providers[0].setReserve(.share(0.2))
        rig.providers[1].setReserve(.share(0.2))
        for chunk in 0..<50 as Range<Int64> { try rig.pagers[2].populate(chunk << 20..<(chunk + 1) << 20) }
        #expect(rig.held[0] == 300 && rig.held[1] == 300, "\(rig.held)")
        #expect(rig.held[2] >= 1024)
        #expect(rig.images[2].pagesRead.load(ordering: .relaxed) == 50 * 256)
        try rig.end()
    }

    // MARK: Reserves

    /// By default, images with users share half of the memory equally. An image without users has no reserve, and
    /// keeps its pages for as long as nobody wants the frames.
    @Test func activeImagesShareHalf() throws {
        let rig = try ManyImagesRig(3, frames: 1000)
        #expect(rig.providers.map(\.reservedPages) == [166, 166, 166])
        try rig.use(0..<90, ofImage: 0)
        rig.pages.setActive(false, image: rig.providers[0].image)
        #expect(rig.providers.map(\.reservedPages) == [0, 250, 250])
        #expect(rig.held[0] == 90)
        for step in 0..<910 as Range<UInt64> { try rig.use(step / 2, ofImage: 1 + Int(step % 2)) }
        #expect(rig.held[0] == 90, "memory is not full yet")
        rig.pages.setActive(true, image: rig.providers[0].image)
        #expect(rig.providers.map(\.reservedPages) == [166, 166, 166])
        try rig.end()
    }

    /// An image has the reserve that its owner wants while it has users. The others share the rest of the half.
    @Test func aWantedReserveIsKept() throws {
        let rig = try ManyImagesRig(4, frames: 1000)
        rig.providers[0].setReserve(.share(0.2))
        rig.providers[1].setReserve(.bytes(4096 * 49 + 1))
        #expect(rig.providers.map(\.reservedPages) == [200, 50, 125, 125])
        rig.pages.setActive(false, image: rig.providers[0].image)
        #expect(rig.providers.map(\.reservedPages) == [0, 50, 225, 225])
        rig.providers[2].setReserve(.bytes(0))
        #expect(rig.providers.map(\.reservedPages) == [0, 50, 0, 450])
        rig.pages.setActive(true, image: rig.providers[0].image)
        #expect(rig.providers.map(\.reservedPages) == [200, 50, 0, 250])
        rig.providers[0].setReserve(nil)
        #expect(rig.providers.map(\.reservedPages) == [225, 50, 0, 225])
        try rig.end()
    }

    /// Wanted reserves of more than half of the memory are made smaller, each by the same factor.
    @Test func reservesAreAtMostHalf() throws {
        let rig = try ManyImagesRig(3, frames: 1000)
        rig.providers[0].setReserve(.share(0.5))
        rig.providers[1].setReserve(.bytes(Int.max))
        #expect(rig.providers.map(\.reservedPages) == [166, 333, 0])
        rig.pages.checkInvariants()
        rig.providers[1].setReserve(.share(0.25))
        #expect(rig.providers.map(\.reservedPages) == [333, 166, 0])
        rig.providers[1].setReserve(.share(-1))
        #expect(rig.providers.map(\.reservedPages) == [500, 0, 0])
        try rig.end()
    }

    /// Reserves that exceed half of the pages can be found out before anything is served.
    @Test func excessIsFoundBeforehand() throws {
        let memory = Pages.memory(forFrames: 1001)
        #expect(Pages.maxReserved(memory: memory) == 500 * 4096)
        #expect(Pages.excess(of: [], memory: memory) == 0)
        #expect(Pages.excess(of: [.share(0.25), .share(0.25)], memory: memory) == 0)
        #expect(Pages.excess(of: [.bytes(500 * 4096)], memory: memory) == 0)
        #expect(Pages.excess(of: [.bytes(500 * 4096 + 1)], memory: memory) == 4096)
        #expect(Pages.excess(of: [.share(0.25), .share(0.5)], memory: memory) == 250 * 4096)
        #expect(Pages.excess(of: [.bytes(.max), .bytes(.max)], memory: memory) == 1502 * 4096)
        #expect(Pages.maxReserved(memory: 0) == 0)
    }

    /// The order of giving: by how far images are above their reserves, then by number. Images that hold nothing are
    /// left out.
    @Test func orderOfGiving() throws {
        let memory = try Memory(bytes: 4 << 20)
        var shares = Shares(memory.metadata)
        #expect(Array(shares.inOrderOfGiving()).isEmpty)
        for (image, frames) in [(0, 50), (2, 80), (3, 50), (5, 80), (7, 1), (9, 30)] as [(UInt16, UInt64)] {
            shares.count(frames, of: image)
        }
        shares.setReserve(90, of: 2)
        shares.setActive(true, 2)
        #expect(Array(shares.inOrderOfGiving()) == [5, 0, 3, 9, 7, 2])
        #expect(shares.giver() == 5)
        shares.uncount(80, of: 5)
        #expect(Array(shares.inOrderOfGiving()) == [0, 3, 9, 7, 2])
    }

    // MARK: Probation

    /// Probation of an image that is alone aims at a tenth of the memory. Others make it smaller by what they hold, but
    /// never smaller than its part of the reserve.
    @Test func probationFollowsWhatTheImageHas() throws {
        let rig = try QueueRig(memory: Pages.memory(forFrames: 4000))
        #expect(rig.queue.probationTarget(ofImage: 0) == 400)
        rig.append(0)
        #expect(rig.queue.probationTarget(ofImage: 0) == 400)
        for page in 1...1001 as ClosedRange<UInt64> { rig.append(page, image: 1) }
        rig.append(1)
        #expect(rig.queue.probationTarget(ofImage: 0) == 299)
        #expect(rig.queue.probationTarget(ofImage: 1) == 399)
        for page in 1001..<2600 as Range<UInt64> { rig.append(page, image: 1) }
        rig.append(2)
        #expect(rig.queue.probationTarget(ofImage: 0) == 140)
        rig.reserve(2000, ofImage: 0)
        #expect(rig.queue.probationTarget(ofImage: 0) == 200)
        for page in 2600..<3990 as Range<UInt64> { rig.append(page, image: 1) }
        rig.queue.setActive(false, image: 0)
        #expect(rig.queue.probationTarget(ofImage: 0) == 5, "half of what little there is")
    }

    /// Pages of one image that enter probation do not make those of another older.
    @Test func eachImageHasItsClock() throws {
        let rig = try QueueRig(memory: 4 << 20)
        let id = rig.append(0, image: 1)
        for page in 0..<500 as Range<UInt64> { rig.append(page, image: 0) }
        rig.hit(id)
        #expect(rig.hits(id) == 0)
        for page in 1..<300 as Range<UInt64> { rig.append(page, image: 1) }
        rig.hit(id)
        #expect(rig.hits(id) == 1)
    }

    // MARK: Numbers used again

    /// An image that gets the number of one that has been closed finds nothing of it: no reserve, no pages, no ghosts.
    @Test func aNumberUsedAgainIsNew() throws {
        let rig = try ManyImagesRig(2, frames: 1000)
        rig.providers[0].setReserve(.share(0.4))
        let number = rig.providers[0].image
        // Most of these become ghosts.
        for page in 0..<1400 as Range<UInt64> { try rig.use(page, ofImage: 0) }
        try rig.registry.close(rig.providers[0])
        #expect(rig.providers[1].reservedPages == 500)
        let image = CountedImage(size: 1 << 40)
        let next = try rig.registry.open(ImageIdentity(device: 2, inode: 1)) { image }
        #expect(next.image == number)
        #expect(next.reservedPages == 250 && rig.providers[1].reservedPages == 250)
        #expect(next.heldPages == 0 && rig.pages.queue.probationTarget(ofImage: number) == 100)
        let pager = Pager(next)
        for page in 0..<400 as Range<Int64> { try pager.populate(page << 12..<(page + 1) << 12) }
        let map = rig.pages.accessMap(ofImage: number)
        for page in 0..<400 as Range<UInt64> {
            #expect(rig.pages.table[map.flexpage(at: page)].pointee.queue == .probation, "no ghosts are found")
        }
        try rig.registry.close(next)
        try rig.registry.close(rig.providers[1])
        rig.pages.checkInvariants(isQuiet: true)
    }

    // MARK: Requests end

    /// An image may dirty all but a tenth of the memory, and nothing is written out. The rest is another image's
    /// reserve. Reads of the first image end all the same: the reserve yields.
    @Test func readsEndThoughOnlyReservesAreIdle() throws {
        let rig = try ManyImagesRig(2, frames: 400, dirtyShare: 0.9)
        rig.providers[1].setReserve(.share(0.5))
        try rig.use(0..<50, ofImage: 1)
        let byte = TestBuffer(4096)
        for page in 0..<350 as Range<Int64> {
            try rig.pagers[0].write(
                from: UnsafeRawBufferPointer(byte.buffer(4096)), at: page << 12, forced: false)
        }
        #expect(rig.held == [350, 50])
        try Watchdog.guarding("only reserves are idle") { () throws in
            try rig.use(1000..<1200, ofImage: 0)
        }
        #expect(rig.held[0] > 350)
        try rig.pagers[0].flush()
        try rig.end()
    }

    /// Threads read and write many images in little memory, while reserves change and images come and go. All requests
    /// end, and the invariants hold.
    @Test(arguments: Seeds.of(plain: 6, optimised: 40, sanitized: 3)) func everybodyAtOnce(seed: UInt64) throws {
        let rig = try ManyImagesRig(6, frames: 700, size: 4 << 20, maxPagesOfFill: seed % 2 == 0 ? 1 : 64)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 5, crew: 2)
        let verdict = Verdict()
        Watchdog.guarding("many images, seed \(seed)") {
            Thread.run(5) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                if number == 0 {
                    changeShares(rig, &random, verdict)
                } else {
                    for _ in 0..<400 { request(rig, &random, verdict) }
                }
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        for provider in rig.providers { try rig.registry.close(provider) }
        writeback.stop()
        rig.pages.checkInvariants(isQuiet: true)
        #expect(rig.pages.memory.freeFrames == rig.pages.frames)
    }

    private func request(_ rig: ManyImagesRig, _ random: inout SplitMix64, _ verdict: Verdict) {
        let pager = rig.pagers[random.pick(0...rig.pagers.count - 1)]
        let count = random.length(upTo: 64 << 10)
        let offset = random.place(below: 4 << 20 - Int64(count))
        do throws(AccessError) {
            if random.once(in: 3) {
                let buffer = TestBuffer(count)
                try pager.write(
                    from: UnsafeRawBufferPointer(buffer.buffer(count)), at: offset, forced: random.once(in: 20))
            } else {
                try pager.populate(offset..<offset + Int64(count))
            }
        } catch {
            verdict.blame("nothing fails here: \(error)")
        }
    }

    private func changeShares(_ rig: ManyImagesRig, _ random: inout SplitMix64, _ verdict: Verdict) {
        for _ in 0..<60 {
            let provider = rig.providers[random.pick(0...rig.providers.count - 1)]
            provider.setReserve(random.once(in: 3) ? nil : .share(Double(random.pick(0...50)) / 100))
            do throws(AccessError) {
                let identity = ImageIdentity(device: 9, inode: UInt64(random.pick(0...3)))
                let guest = try rig.registry.open(identity) { CountedImage(size: 1 << 20) }
                try Pager(guest).populate(0..<Int64(random.length(upTo: 1 << 20)))
                try rig.registry.close(guest)
            } catch {
                verdict.blame("nothing fails here: \(error)")
            }
            rig.pages.checkInvariants()
        }
    }
}
