import TestSupport
import Testing

@testable import Paging

/// The order of recycling: S3-FIFO, with hits counted in the older half of probation only.
@Suite struct PageQueueTests {
    /// Pages used once leave in the order in which they came.
    @Test func unusedPagesLeaveInOrder() throws {
        let rig = try QueueRig()
        for page in 0..<150 as Range<UInt64> { rig.append(page) }
        for page in 0..<150 as Range<UInt64> { #expect(rig.recycle() == page) }
        #expect(rig.recycle() == nil)
        #expect(rig.queue.checkInvariants() == 0)
    }

    /// Pages that are not yet durable are recycled last, but they are recycled, however few and large the pages are: a
    /// writer waits for nothing else.
    @Test(arguments: [1, 5, 12, 63, 65, 150]) func pagesNotYetDurableAreRecycledLast(_ count: Int) throws {
        let rig = try QueueRig()
        let ids = (0..<UInt64(count)).map { rig.append($0) }
        for id in ids { rig.set(PageState.unsynced, id) }
        rig.set(PageState.dirty, ids[0])
        if count > 1 { rig.clear(PageState.unsynced, ids[count - 1]) }
        let order = (0..<count).map { _ in rig.recycle() }
        #expect(order.last == .some(nil), "dirty pages stay")
        #expect(Set(order.dropLast().compactMap(\.self)) == Set(1..<UInt64(count)))
        if (2...64).contains(count) { #expect(order[0] == UInt64(count - 1), "durable pages go first") }
    }

    /// A hit in the newer half of probation does not count: block readers touch a page several times at once.
    @Test func hitsAtOnceDoNotCount() throws {
        let rig = try QueueRig()
        let id = rig.append(0)
        for page in 1...UInt64(rig.correlation) {
            rig.hit(id)
            #expect(rig.hits(id) == 0)
            rig.append(page)
        }
        rig.append(1000)
        rig.hit(id)
        #expect(rig.hits(id) == 1)
    }

    /// The time of a page read ahead begins with its first use. The time of a page in main does not begin.
    @Test func timeBeginsWithTheFirstUse() throws {
        let rig = try QueueRig()
        let id = rig.append(0, order: 1)
        for page in 2...UInt64(rig.correlation) * 2 { rig.append(page) }
        let word = rig.table.word(id)
        let before = QueuePosition(word.pointee.position.load(ordering: .relaxed))
        rig.queue.clock(ofImage: 0).startTime(of: word, before)
        #expect(QueuePosition(word.pointee.position.load(ordering: .relaxed)).order == 1)
        for page in 1000..<1000 + UInt64(rig.correlation) {
            rig.hit(id)
            #expect(rig.hits(id) == 0)
            rig.append(page)
        }
        rig.append(2000)
        rig.hit(id)
        #expect(rig.hits(id) == 1)
        let main = rig.make(3000)
        rig.queue.putBack(main, to: .main)
        let position = QueuePosition(rig.table.word(main).pointee.position.load(ordering: .relaxed))
        rig.queue.clock(ofImage: 0).startTime(of: rig.table.word(main), position)
        rig.queue.clock(ofImage: 0).startTime(of: rig.table.word(main), before)
        #expect(!QueuePosition(rig.table.word(main).pointee.position.load(ordering: .relaxed)).isTimed)
        #expect(rig.queue.checkInvariants() > 0)
    }

    /// One counted hit is enough for promotion, and no more than three are remembered.
    @Test func aLaterHitPromotes() throws {
        let rig = try QueueRig()
        let id = rig.append(0)
        for page in 1...150 as ClosedRange<UInt64> { rig.append(page) }
        for _ in 0..<5 { rig.hit(id) }
        #expect(rig.hits(id) == 3)
        #expect(rig.recycle() == 1, "the page with hits is passed over")
        #expect(rig.table[id].pointee.queue == .main)
        #expect(rig.hits(id) == 0, "promotion takes all hits")
        #expect(rig.queue.checkInvariants() == 150)
    }

    /// In main a page stays one round for each hit.
    @Test func mainGivesAnotherRound() throws {
        let rig = try QueueRig()
        let (first, second, third) = (rig.make(1), rig.make(2), rig.make(3))
        for id in [first, second, third] { rig.queue.putBack(id, to: .main) }
        for _ in 0..<2 { rig.hit(first) }
        rig.hit(second)
        #expect(rig.recycle() == 3)
        #expect(rig.recycle() == 2, "one hit lasts one round less than two")
        #expect(rig.recycle() == 1)
    }

    /// A page recycled from probation that comes again soon goes to main. One recycled from main or long ago does not.
    @Test func ghostsComeBackToMain() throws {
        let rig = try QueueRig()
        rig.append(7)
        #expect(rig.recycle() == 7)
        let again = rig.append(7)
        #expect(rig.table[again].pointee.queue == .main)
        #expect(rig.recycle() == 7)
        #expect(rig.table[rig.append(7)].pointee.queue == .probation, "main leaves no ghosts")
        #expect(rig.recycle() == 7)
        for page in 1000..<1000 + UInt64(rig.pages.memory.metadata.frames) {
            rig.append(page)
            _ = rig.recycle()
        }
        #expect(rig.table[rig.append(7)].pointee.queue == .probation, "a ghost is forgotten in time")
    }

    /// A working set in use survives a scan of many times the memory. LRU would lose all of it.
    @Test func scansDoNotWashOut() throws {
        let rig = try QueueRig()
        let frames = rig.pages.memory.metadata.frames
        let working = (0..<UInt64(frames / 3)).map { rig.make($0) }
        for id in working { rig.queue.putBack(id, to: .main) }
        for page in 0..<UInt64(frames * 10) {
            _ = rig.miss(1 << 20 + page)
            if page % 50 == 0 { for id in working { rig.hit(id) } }
        }
        for (page, id) in working.enumerated() {
            #expect(rig.table[id].pointee.key.page == UInt64(page) && rig.table[id].pointee.queue == .main)
        }
        #expect(rig.queue.checkInvariants() == frames)
    }

    /// A page that is lent, dirty or going out is passed over, keeps its position in the queue, and is recycled once it
    /// is idle.
    @Test(arguments: [PageState.pin, PageState.exclusive, PageState.writing, PageState.dirty])
    func pagesInUseArePassedOver(bits: UInt32) throws {
        let rig = try QueueRig()
        let ids = (0..<3 as Range<UInt64>).map { rig.append($0) }
        for id in ids { rig.set(bits, id) }
        #expect(rig.recycle() == nil, "the search ends though nothing is idle")
        #expect(rig.queue.checkInvariants() == 3)
        rig.clear(bits, ids[1])
        #expect(rig.recycle() == 1)
        #expect(rig.recycle() == nil)
        rig.clear(bits, ids[0])
        rig.clear(bits, ids[2])
        #expect(Set([rig.recycle(), rig.recycle()]) == [0, 2])
    }

    /// If the queue whose turn it is has nothing idle, the other one gives a page. Otherwise a request would wait for
    /// memory though there is some; for ever, if dirty pages cannot be written.
    @Test(arguments: [true, false]) func idlePagesAreAlwaysInReach(isMainBusy: Bool) throws {
        let rig = try QueueRig()
        let count = isMainBusy ? rig.probationTarget / 2 : rig.probationTarget * 3 / 2
        let probation = (0..<UInt64(count)).map { rig.append($0) }
        let main = (1000..<1005 as Range<UInt64>).map { rig.make($0) }
        for id in main {
            rig.queue.putBack(id, to: .main)
            for _ in 0..<3 { rig.hit(id) }
        }
        for id in isMainBusy ? main : probation { rig.set(PageState.dirty, id) }
        var recycled: [UInt64] = []
        while let page = rig.recycle() { recycled.append(page) }
        #expect(Set(recycled) == Set((isMainBusy ? probation : main).map { rig.table[$0].pointee.key.page }))
    }

    /// While a recycler has a page in hand `remove` says no: its Region belongs to the recycler. Put back, it is queued
    /// again.
    @Test func aPageInHandIsTheRecyclers() throws {
        let rig = try QueueRig()
        let id = rig.append(5)
        let candidate = try #require(rig.queue.nextCandidate())
        #expect(candidate.id == id && candidate.from == .probation && candidate.key.page == 5)
        #expect(!rig.queue.remove(id))
        #expect(rig.queue.nextCandidate() == nil)
        rig.queue.putBack(id, to: candidate.from)
        #expect(rig.queue.checkInvariants() == 1)
        #expect(rig.queue.remove(id))
        #expect(!rig.queue.remove(id))
        #expect(rig.queue.checkInvariants() == 0)
    }

    /// A queued flexpage is found at the frame where it begins, with its key and its Region. At any other frame nothing
    /// is found.
    @Test func flexpagesAreFoundByTheirFrames() throws {
        let rig = try QueueRig()
        let id = rig.append(48, order: 4)
        let main = rig.make(7)
        rig.queue.putBack(main, to: .main)
        for found in [(id, 48, 4), (main, 7, 0)] as [(FlexpageID, UInt64, UInt8)] {
            let queued = try #require(rig.queue.flexpage(at: found.0))
            #expect(queued.key == PageKey(image: 0, page: found.1))
            #expect(queued.region == Region(first: found.0, order: found.2))
        }
        #expect((1..<16).allSatisfy { rig.queue.flexpage(at: id + $0) == nil })
        #expect(rig.queue.flexpage(at: rig.make(9)) == nil, "not queued")
        #expect(rig.queue.remove(id))
        #expect(rig.queue.flexpage(at: id) == nil)
        let candidate = try #require(rig.queue.nextCandidate())
        #expect(candidate.id == main && rig.queue.flexpage(at: main) == nil, "a recycler has it in hand")
        rig.queue.putBack(main, to: .main)
        #expect(rig.queue.flexpage(at: main) != nil)
    }

    /// In a block, the count has the frames of the flexpages that are queued, unused and no larger than what is moved,
    /// whatever else they are.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func movableFramesAreCounted(seed: UInt64) throws {
        let rig = try QueueRig(memory: 4 << 20)
        var random = SplitMix64(seed: seed)
        let inUse = [PageState.pin, PageState.exclusive, PageState.writing, PageState.hasWaiters]
        let harmless = [
            PageState.dirty, PageState.unsynced, PageState.prefetched | PageState.marked, PageState.hitMask, 0,
        ]
        var movable: Set<UInt32> = []
        var number: UInt64 = 0
        while rig.pages.memory.freeFrames > 0 {
            let id = rig.make(number << 8, order: random.pick(0...6))
            number += 1
            rig.set(harmless[random.pick(0...4)], id)
            let isInUse = random.once(in: 8)
            if isInUse { rig.set(inUse[random.pick(0...3)], id) }
            let isFilling = random.once(in: 16)
            if isFilling { rig.clear(PageState.populated, id) }
            let isQueued = !random.once(in: 8)
            if isQueued { rig.queue.putBack(id, to: random.once(in: 2) ? .main : .probation) }
            let region = rig.table.region(of: id)
            if isQueued, !isInUse, !isFilling, region.order <= 4 { movable.formUnion(region.first..<region.end) }
        }
        // Blocks are aligned, so no flexpage of at most their order lies in them only in part.
        for order in 6...8 as ClosedRange<UInt8> {
            for first in stride(from: 0, to: rig.pages.frames - 255, by: 1 << Int(order)) {
                let block = Region(first: UInt32(first), order: order)
                let expected = (block.first..<block.end).filter(movable.contains).count
                #expect(rig.queue.movableFrames(in: block) == expected, "seed \(seed)")
            }
        }
    }

    /// A flexpage that is put into another Region takes the old one's position: in its queue, between its neighbours,
    /// and in time. Nothing is made if a recycler has it in hand.
    @Test(arguments: [0, 3, 6], [PageQueue.Name.probation, .main])
    func aMovedFlexpageHasItsPlace(index: UInt64, name: PageQueue.Name) throws {
        let rig = try QueueRig()
        let ids = (0..<7 as Range<UInt64>).map { rig.make($0 << 4, order: Int($0 % 3)) }
        for id in ids { rig.queue.putBack(id, to: name) }
        let id = ids[Int(index)]
        rig.set(PageState.prefetched, id)
        let before = rig.table.word(id).pointee.position.load(ordering: .relaxed)
        let taken = rig.pages.memory.take(order: Int(index % 3))
        let region = try #require(taken)
        let isReplaced = rig.queue.replace(id, count: 1) { _ in
            rig.table.make(region, key: rig.table[id].pointee.key, state: PageState.populated | PageState.prefetched)
        }
        #expect(isReplaced)
        #expect(rig.queue.flexpage(at: id) == nil && rig.queue.flexpage(at: region.first)?.region == region)
        #expect(rig.table[region.first].pointee.queue == name)
        #expect(rig.table.word(region.first).pointee.position.load(ordering: .relaxed) == before)
        #expect(rig.queue.checkInvariants() == ids.reduce(0) { $0 + Int(rig.table[$1].pages) })
        for page in 0..<7 as Range<UInt64> { #expect(rig.recycle() == page << 4) }
        #expect(!rig.queue.replace(region.first, count: 1) { _ in fatalError("nothing may be made") })
    }

    /// Large flexpages count for as many frames as they have, and leave a ghost for each base page.
    @Test(arguments: 0...6) func sizesAreCountedInFrames(order: Int) throws {
        let rig = try QueueRig()
        rig.append(1 << 8, order: order)
        #expect(rig.queue.checkInvariants() == 1 << order)
        #expect(rig.recycle() == 1 << 8)
        for page in (1 << 8)..<(1 << 8 + UInt64(min(1 << order, 50))) {
            #expect(rig.table[rig.append(page)].pointee.queue == .main)
        }
    }

    /// Random use of everything at once, with one image or several. Links and counts agree throughout, and a candidate
    /// is always idle. Queued pages and recycled pages are the model's, and a round ends even if everything is in use.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func agreesWithItsModel(seed: UInt64) throws {
        let rig = try QueueRig(memory: 2 << 20)
        var random = SplitMix64(seed: seed)
        var queued: [FlexpageID: Int] = [:]
        let images = [1, 1, 2, 5][Int(seed % 4)]
        for step in 0..<800 {
            let any = queued.keys.isEmpty ? nil : queued.keys.min { rig.hash($0, step) < rig.hash($1, step) }
            switch random.pick(0...6) {
            case 0, 1:
                let order = random.pick(0...4)
                guard rig.pages.memory.freeFrames > 0 else { break }
                let image = UInt16(random.pick(0...images - 1))
                if images > 1, random.once(in: 20) { rig.queue.setReserve(random.pick(0...100), ofImage: image) }
                let id = rig.append(UInt64(random.pick(0...200) << order), order: order, image: image)
                queued[id] = Int(rig.table[id].pages)
            case 2: if let any { rig.hit(any) }
            case 3: if let any { rig.set(random.once(in: 2) ? PageState.pin : PageState.dirty, any) }
            case 4: if let any { rig.clear(PageState.pinMask | PageState.dirty, any) }
            case 5:
                guard let any, random.once(in: 4) else { break }
                #expect(rig.queue.remove(any))
                rig.pages.memory.give(rig.table.region(of: any))
                queued[any] = nil
            default:
                guard let candidate = rig.queue.nextCandidate() else {
                    #expect(queued.keys.allSatisfy { !rig.isIdle($0) })
                    break
                }
                #expect(rig.isIdle(candidate.id))
                #expect(queued[candidate.id] != nil)
                if random.once(in: 3) {
                    rig.queue.putBack(candidate.id, to: candidate.from)
                } else {
                    rig.pages.memory.give(rig.table.region(of: candidate.id))
                    queued[candidate.id] = nil
                }
            }
            if step % 20 == 0 { #expect(rig.queue.checkInvariants() == queued.values.reduce(0, +)) }
        }
    }
}

extension QueueRig {
    func isIdle(_ id: FlexpageID) -> Bool {
        PageState(table.word(id).pointee.state.load(ordering: .relaxed)).isRecyclable
    }

    /// An order of the flexpages that changes with each step, and is the same for the same seed.
    func hash(_ id: FlexpageID, _ step: Int) -> UInt64 { SplitMix64.mix(UInt64(id) &* 1_000_003 &+ UInt64(step)) }
}
