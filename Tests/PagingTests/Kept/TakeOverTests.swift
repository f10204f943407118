import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// What a server leaves when it dies, and what the next one makes of it.
@Suite struct TakeOverTests {
    private static let size: Int64 = 1 << 20
    private static let page = Int64(BasePage.size)

    /// What was answered and is not on the image is dirty for the next server, and goes out from there.
    @Test func whatWasAnsweredIsThere() throws {
        let image = HookedImage(size: Self.size, pattern: Pattern(key: 1))
        let first = try KeptRig(frames: 256, images: [image])
        try first.write(7, at: 4096..<12288)
        try first.write(9, at: 20000..<20100)
        #expect(first.count() == (3, 3))
        let second = try KeptRig(after: first.death(), images: [image])
        #expect(second.takenOver[0].owedPages == 3)
        #expect(try second.read(4096..<12288) == [UInt8](repeating: 7, count: 8192))
        #expect(try second.read(20000..<20100) == [UInt8](repeating: 9, count: 100))
        second.pages.checkInvariants(isQuiet: true)
        try second.providers[0].flush()
        #expect(image.byte(ofPage: 1) == 7)
        #expect(second.count().owed == 0)
        try second.close()
    }

    /// What the dead server had read is there without a read of the image.
    @Test func whatWasReadIsWarm() throws {
        let reads = Atomic<Int>(0)
        let image = HookedImage(size: Self.size, pattern: Pattern(key: 2)) { call, _ in
            if call == .populate { reads.add(1, ordering: .relaxed) }
            return nil
        }
        let first = try KeptRig(frames: 512, images: [image])
        let before = try first.read(0..<Self.size)
        let count = reads.load(ordering: .relaxed)
        let second = try KeptRig(after: first.death(), images: [image])
        #expect(second.cleanPages == 256)
        #expect(try second.read(0..<Self.size) == before)
        #expect(reads.load(ordering: .relaxed) == count)
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
    }

    /// What was used again and again stays in memory while the next server is scanned, written meanwhile or not. What
    /// was read once does not.
    @Test(arguments: [false, true]) func whatWasUsedStaysFirst(isWritten: Bool) throws {
        let reads = Guarded<[UInt64: Int]>([:])
        let image = HookedImage(size: 8 << 20, pattern: Pattern(key: 4)) { call, pages in
            if call == .populate { reads.withLock { reads in for page in pages { reads[page, default: 0] += 1 } } }
            return nil
        }
        let first = try KeptRig(frames: 256, images: [image])
        let hot = Int64(0)..<16
        for round in Int64(0)..<60 {
            for page in hot { _ = try first.read(page * Self.page..<(page + 1) * Self.page) }
            for page in 100 + round * 16..<116 + round * 16 {
                _ = try first.read(page * Self.page..<(page + 1) * Self.page)
            }
        }
        if isWritten { for page in hot { try first.write(5, at: page * Self.page..<page * Self.page + 100) } }
        let words = (0..<first.kept.frames).map { first.kept[$0] }.filter(\.isLive)
        #expect(words.filter(\.isPromoted).map { Int64($0.page) }.filter(hot.contains).sorted() == Array(hot))
        #expect(words.contains { !$0.isPromoted })
        let second = try KeptRig(after: first.death(), images: [image])
        if isWritten { try second.providers[0].flush() }
        reads.withLock { $0 = [:] }
        for page in Int64(1000)..<1800 { _ = try second.read(page * Self.page..<(page + 1) * Self.page) }
        for page in hot { _ = try second.read(page * Self.page..<(page + 1) * Self.page) }
        #expect(reads.withLock { $0.keys.filter { $0 < 16 } } == [])
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
    }

    /// A page that has been hit, and has not come to main because nothing is recycled, is in main after a take-over.
    @Test func whatHasBeenHitStaysFirst() throws {
        let image = HookedImage(size: 8 << 20, pattern: Pattern(key: 5))
        let first = try KeptRig(frames: 512, images: [image])
        let (hot, all) = (Int64(3)..<9, Int64(0)..<300)
        for page in [Int64](all) + [Int64](hot) { _ = try first.read(page * Self.page..<page * Self.page + 1) }
        func promoted(_ kept: KeptState) -> [Int64] {
            (0..<kept.frames).filter { kept[$0].isLive && kept[$0].isPromoted }.map { Int64(kept[$0].page) }.sorted()
        }
        #expect(promoted(first.kept) == [])
        let writeback = try Writeback(pages: first.pages, registry: first.registry)
        Watchdog.guarding("hits are looked for") { Thread.wait { promoted(first.kept).count == hot.count } }
        writeback.stop()
        #expect(promoted(first.kept) == Array(hot))
        let second = try KeptRig(after: first.death(), images: [image])
        let queues = second.pages.queue.images
        #expect(queues.pointee.main.frames == hot.count)
        #expect(queues.pointee.probation.frames == all.count - hot.count)
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
    }

    /// An image that is not taken over leaves nothing, not even its record.
    @Test func whatIsDropped() throws {
        let images = (0..<2).map { HookedImage(size: Self.size, pattern: Pattern(key: UInt64($0))) }
        let first = try KeptRig(frames: 256, images: images)
        _ = try first.read(0..<65536, ofImage: 0)
        _ = try first.read(0..<65536, ofImage: 1)
        let second = try KeptRig(after: first.death(), images: [nil, images[1]])
        #expect(second.takenOver.count == 1)
        #expect(!second.kept.image(0).isInUse && second.kept.image(1).isInUse)
        #expect(second.count(ofImage: 0) == (0, 0) && second.count(ofImage: 1).live == 16)
        #expect(second.pages.memory.freeFrames == 256 - 16)
        try second.close()
    }

    /// Pages that leave the memory leave the section too, and what replaces them is there.
    @Test func recycling() throws {
        let image = HookedImage(size: 8 << 20, pattern: Pattern(key: 3))
        let first = try KeptRig(frames: 256, images: [image])
        for offset in stride(from: Int64(0), to: 8 << 20, by: 65536) { _ = try first.read(offset..<offset + 65536) }
        let second = try KeptRig(after: first.death(), images: [image])
        #expect(second.cleanPages == 256 - first.pages.memory.freeFrames)
        for page in 0..<UInt64(2048) {
            let offset = Int64(page) * Self.page
            let found = try second.read(offset..<offset + 1)[0]
            #expect(found == image.byte(ofPage: page))
        }
        second.pages.checkInvariants(isQuiet: true)
        try second.close()
    }

    /// A flush leaves nothing owed. A page that is written again while it is not durable is owed on.
    @Test func aFlushSettles() throws {
        let image = HookedImage(size: Self.size)
        let rig = try KeptRig(frames: 256, images: [image])
        try rig.write(1, at: 0..<40960)
        #expect(rig.count() == (10, 10))
        try rig.providers[0].flush()
        #expect(rig.count() == (10, 0))
        try rig.write(2, at: 0..<100)
        #expect(rig.count() == (10, 1))
        try rig.close()
    }

    /// A zero leaves nothing of the range, whether pages were clean or owed; its edges are owed.
    @Test func aZero() throws {
        let image = HookedImage(size: Self.size)
        let rig = try KeptRig(frames: 256, images: [image])
        _ = try rig.read(0..<65536)
        try rig.write(5, at: 16384..<24576)
        try Pager(rig.providers[0]).zero(100..<40000, mayTrim: true, onlyIfFast: false, forced: false)
        #expect(rig.count() == (16 - 8, 2))
        let next = try KeptRig(after: rig.death(), images: [image])
        #expect(try next.read(100..<40000).allSatisfy { $0 == 0 })
        #expect(try next.read(0..<100) + next.read(40000..<65536) == rig.read(0..<100) + rig.read(40000..<65536))
        try next.close()
    }

    /// What has been read of a range is not kept while the image is being changed there. What is owed is, until a sync
    /// makes it durable: then nothing says any more that it is newer than the image.
    @Test(arguments: [false, true]) func deathInAZero(beforeASync: Bool) throws {
        let death = Guarded<KeptRig.Section?>(nil)
        let rigBox = Guarded<KeptRig?>(nil)
        let image = HookedImage(size: Self.size, pattern: Pattern(key: 4)) { call, _ in
            guard call == .zero, let rig = rigBox.withLock({ $0 }) else { return nil }
            if !beforeASync { try? rig.providers[0].durability.sync() }
            death.withLock { $0 = rig.death() }
            return nil
        }
        let rig = try KeptRig(frames: 256, images: [image])
        rigBox.withLock { $0 = rig }
        _ = try rig.read(0..<65536)
        try rig.write(5, at: 16384..<24576)
        try rig.write(6, at: 40960..<45056)
        try rig.providers[0].mapper.writeOut(0..<16)
        #expect(rig.count() == (16, 3))
        try Pager(rig.providers[0]).zero(0..<32768, mayTrim: true, onlyIfFast: false, forced: false)
        rigBox.withLock { $0 = nil }
        let section = try #require(death.withLock { $0 })
        let next = try KeptRig(after: section, images: [HookedImage(size: Self.size)])
        #expect(next.takenOver[0].owedPages == (beforeASync ? 3 : 0))
        #expect(next.cleanPages == (beforeASync ? 7 : 8))
        try next.close()
    }

    /// A sync that fails after the death loses what the dead server had put at risk.
    @Test func whatWasAtRiskStaysAtRisk() throws {
        let isFailing = Atomic<Bool>(false)
        let image = HookedImage(size: Self.size) { call, _ in
            call == .sync && isFailing.load(ordering: .relaxed) ? AccessError(EIO) : nil
        }
        let first = try KeptRig(frames: 256, images: [image])
        #expect(!first.kept.image(0).isAtRisk)
        try Pager(first.providers[0]).trim(0..<65536, forced: false)
        #expect(first.kept.image(0).isAtRisk, "the record is worth keeping without pages")
        let second = try KeptRig(after: first.death(), images: [image])
        isFailing.store(true, ordering: .relaxed)
        #expect(throws: AccessError(EIO)) { try second.providers[0].flush() }
        isFailing.store(false, ordering: .relaxed)
        #expect(second.providers[0].lost == AccessError(EIO), "the trim of the dead server is lost")
        // And the loss outlives this server as well.
        let third = try KeptRig(after: second.death(), images: [image])
        #expect(throws: AccessError(EIO)) { try third.providers[0].flush() }
    }

    /// A loss that no client has heard of waits for one, whether the image has changed meanwhile or not. Then it is
    /// forgotten, as that of any image that is opened anew.
    @Test(arguments: [false, true]) func aLossWaitsForAClient(isChanged: Bool) throws {
        let isFailing = Atomic<Bool>(false)
        let image = HookedImage(size: Self.size) { call, _ in
            call == .sync && isFailing.load(ordering: .relaxed) ? AccessError(EIO) : nil
        }
        let first = try KeptRig(frames: 256, images: [image])
        try Pager(first.providers[0]).trim(0..<65536, forced: false)
        let second = try KeptRig(after: first.death(), images: [image])
        let inherited = second.providers[0]
        let identity = inherited.identity
        isFailing.store(true, ordering: .relaxed)
        #expect(throws: AccessError(EIO)) { try second.registry.close(inherited) }
        isFailing.store(false, ordering: .relaxed)
        second.registry.forgetResting()
        #expect(second.kept.image(0).hasLoss, "the next server would find it as well")
        let other = HookedImage(size: Self.size)
        let provider = try second.registry.open(identity) { isChanged ? other : image }
        #expect((provider === inherited) == !isChanged)
        // An order of a person, or the end of the server: no client hears of it.
        #expect(throws: AccessError(EIO)) { try provider.flush() }
        #expect(throws: AccessError(EIO)) { try second.registry.close(provider) }
        #expect(try second.registry.open(identity) { isChanged ? other : image } === provider)
        #expect(throws: AccessError(EIO)) { try provider.flush() }
        provider.noteLossHeard()
        #expect(second.kept.image(0).hasLoss)
        #expect(throws: AccessError(EIO)) { try second.registry.close(provider) }
        let next = try second.registry.open(identity) { image }
        try next.flush()
        try second.registry.close(next)
        #expect(!second.kept.image(0).isAtRisk)
    }

    /// The same without a server: a sync that fails is never retried into success.
    @Test func aSyncWithoutAServer() throws {
        let image = HookedImage(size: Self.size)
        let first = try KeptRig(frames: 256, images: [image])
        try Pager(first.providers[0]).trim(0..<65536, forced: false)
        for isFailing in [false, true] {
            let section = first.death()
            let record = try KeptState(checking: section.bytes).image(0)
            #expect(record.isUnsynced && !record.hasLoss)
            let error = isFailing ? AccessError(EIO) : nil
            var found: AccessError?
            do throws(AccessError) {
                try record.sync { () throws(AccessError) in if let error { throw error } }
                try record.sync {}
            } catch {
                found = error
                try record.sync {}
            }
            #expect(found == error && !record.isUnsynced && record.hasLoss == isFailing)
            let next = try KeptRig(after: section, images: [image])
            #expect(next.providers[0].lost == error)
        }
        try first.close()
    }

    /// A sync that fails after the death loses nothing that is still in memory.
    @Test func whatIsInMemoryIsNotLost() throws {
        let isFailing = Atomic<Bool>(false)
        let image = HookedImage(size: Self.size) { call, _ in
            call == .sync && isFailing.load(ordering: .relaxed) ? AccessError(EIO) : nil
        }
        let first = try KeptRig(frames: 256, images: [image])
        try first.write(3, at: 0..<65536)
        try first.providers[0].flush()
        try first.write(4, at: 0..<8192)
        let second = try KeptRig(after: first.death(), images: [image])
        isFailing.store(true, ordering: .relaxed)
        #expect(throws: AccessError(EIO)) { try second.providers[0].flush() }
        isFailing.store(false, ordering: .relaxed)
        #expect(second.providers[0].lost == nil)
        try second.providers[0].flush()
        #expect(image.byte(ofPage: 0) == 4)
        try second.close()
    }

    /// What a server leaves that dies in a sync, and the image.
    private func deathInASync(
        after work: (Pager) throws -> Void
    ) throws -> (KeptRig.Section, HookedImage) {
        let death = Guarded<KeptRig.Section?>(nil)
        let rigBox = Guarded<KeptRig?>(nil)
        let image = HookedImage(size: Self.size) { call, _ in
            if call == .sync { death.withLock { $0 = rigBox.withLock { $0?.death() } } }
            return nil
        }
        let rig = try KeptRig(frames: 256, images: [image])
        rigBox.withLock { $0 = rig }
        try work(Pager(rig.providers[0]))
        try rig.providers[0].flush()
        rigBox.withLock { $0 = nil }
        #expect(rig.kept.image(0).record.pointee.is_syncing == 0)
        return (try #require(death.withLock { $0 }), image)
    }

    /// Whether a sync that the dead server was in has failed cannot be known. What is in memory is written again in any
    /// case, so only what is not there is in doubt, and only until a good sync.
    @Test(arguments: [false, true]) func deathInASync(isTrimming: Bool) throws {
        let bytes = [UInt8](repeating: 3, count: 8192)
        let (section, image) = try deathInASync { pager in
            try bytes.withUnsafeBytes { try pager.write(from: $0, at: 4096, forced: false) }
            if isTrimming { try pager.trim(65536..<131072, forced: false) }
        }
        let record = try KeptState(checking: section.bytes).image(0)
        #expect(record.record.pointee.is_syncing == 1 && record.isSyncUnknown == isTrimming)
        let next = try KeptRig(after: section, images: [image])
        #expect(next.takenOver[0].owedPages == 2)
        #expect(record.record.pointee.is_syncing == 0 && record.isUnsynced == isTrimming)
        // The image has forgotten what it was given.
        try image.zero(4096..<12288, mayTrim: false, onlyIfFast: false)
        try next.providers[0].flush()
        #expect(image.byte(ofPage: 1) == 3 && image.byte(ofPage: 2) == 3)
        #expect(!record.isUnsynced && next.providers[0].lost == nil)
        try next.close()
    }

    /// What the sync of a last will has lost is lost for the next server too.
    @Test(arguments: [false, true]) func aWillThatCannotSync(isTrimming: Bool) throws {
        let isFailing = Atomic<Bool>(false)
        let image = HookedImage(size: Self.size) { call, _ in
            call == .sync && isFailing.load(ordering: .relaxed) ? AccessError(EIO) : nil
        }
        let first = try KeptRig(frames: 256, images: [image])
        try first.write(3, at: 0..<8192)
        if isTrimming { try Pager(first.providers[0]).trim(65536..<131072, forced: false) }
        isFailing.store(true, ordering: .relaxed)
        #expect(first.pages.will.bringOut().syncError == AccessError(EIO))
        isFailing.store(false, ordering: .relaxed)
        let next = try KeptRig(after: first.death(), images: [image])
        #expect(next.takenOver[0].owedPages == 2)
        #expect(next.kept.image(0).record.pointee.is_syncing == 0)
        #expect(next.providers[0].lost == (isTrimming ? AccessError(EIO) : nil))
        if !isTrimming { try next.close() }
    }

    /// What a server leaves that has written 6 to the first base page of `image`, and the frame of that page.
    private func deathWithOnePage(
        of image: HookedImage
    ) throws -> (section: KeptRig.Section, kept: KeptState, frame: Int) {
        let rig = try KeptRig(frames: 256, images: [image])
        try rig.write(6, at: 0..<4096)
        let section = rig.death()
        let kept = try KeptState(checking: section.bytes)
        return (section, kept, try #require((0..<kept.frames).first { kept[$0].isLive }))
    }

    /// Two frames with one page, as a server leaves them that dies while it moves the page: one is enough.
    @Test func deathInAMove() throws {
        let image = HookedImage(size: Self.size)
        let (section, kept, frame) = try deathWithOnePage(of: image)
        memcpy(kept.memory(ofFrame: 200), kept.memory(ofFrame: frame), BasePage.size)
        kept[200] = kept[frame]
        let next = try KeptRig(after: section, images: [image])
        #expect(next.takenOver[0].owedPages == 1)
        #expect(next.count() == (1, 1))
        #expect(next.pages.memory.freeFrames == 255)
        #expect(try next.read(0..<4096).allSatisfy { $0 == 6 })
        next.pages.checkInvariants(isQuiet: true)
        try next.close()
    }

    /// A sector of an owed page that was being overwritten gets its old bytes back; one of a page that is not owed
    /// does not.
    @Test func deathInAWrite() throws {
        let image = HookedImage(size: Self.size)
        let (section, kept, frame) = try deathWithOnePage(of: image)
        let slot =
            UnsafeMutableRawPointer(mutating: section.bytes.baseAddress!)
            + Int(kept.header.pointee.slots_offset)
        (slot + 64).initializeMemory(as: UInt8.self, repeating: 6, count: 512)
        slot.storeBytes(of: 1 << 63 | UInt64(frame * 8 + 3), as: UInt64.self)
        memset(kept.memory(ofFrame: frame) + 3 * 512, 0x55, 100)
        (slot + 576).storeBytes(of: 1 << 63 | UInt64(77 * 8), as: UInt64.self)
        (slot + 2 * 576).storeBytes(of: 1 << 63 | UInt64.max >> 1, as: UInt64.self)
        (slot + 3 * 576).storeBytes(of: 1, as: UInt64.self)
        let next = try KeptRig(after: section, images: [image])
        #expect(try next.read(0..<4096).allSatisfy { $0 == 6 })
        #expect((0..<8).allSatisfy { (slot + $0 * 576).load(as: UInt64.self) == 0 })
        try next.close()
    }

    /// Everything that is written through a server that keeps comes out as through one that does not, over all sizes
    /// and positions of a write.
    @Test(.oneThread) func writesOfAllSizes() throws {
        var random = SplitMix64(seed: 11)
        let image = HookedImage(size: Self.size, pattern: Pattern(key: 5))
        let rig = try KeptRig(frames: 700, images: [image])
        var expected = try rig.read(0..<Self.size)
        for round in 0..<400 {
            let begin = Int(random.next() % UInt64(Self.size))
            let count = min(Int(random.next() % (round % 3 == 0 ? 70000 : 1500)) + 1, Int(Self.size) - begin)
            let byte = UInt8(truncatingIfNeeded: round)
            try rig.write(byte, at: Int64(begin)..<Int64(begin + count))
            expected.replaceSubrange(begin..<begin + count, with: repeatElement(byte, count: count))
            if round % 50 == 49 { try rig.providers[0].flush() }
        }
        #expect(try rig.read(0..<Self.size) == expected)
        let next = try KeptRig(after: rig.death(), images: [image])
        #expect(try next.read(0..<Self.size) == expected)
        next.pages.checkInvariants(isQuiet: true)
        try next.close()
    }

    /// All of it counts against the bound.
    @Test(arguments: [1 << 20, 3 << 20, 64 << 20, 1 << 30])
    func theBoundHolds(memory: Int) throws {
        let layout = try #require(KeptLayout(memory: memory))
        #expect(Metadata.bytes(forFrames: layout.frames, keptIn: BasePage.size) <= memory)
        #expect(Metadata.bytes(forFrames: layout.frames + 64, keptIn: BasePage.size) > memory)
        #expect(layout.bytes <= memory)
    }
}
