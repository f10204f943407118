import Glibc
import TestSupport
import Testing

@testable import Paging

/// Large Regions come from moving what lies around a free one. Nothing is lost for them, and nobody notices.
@Suite struct CompactionTests {
    /// Sixteen chunks of frames.
    private static let memory = Pages.memory(forFrames: 4096)
    private static let pattern = Pattern(key: 3)
    /// What is newer than the image.
    private static let newer = Pattern(key: 4)
    /// The first of the image's chunks that does not fit beside what fills the memory; there are four of them.
    private static let firstChunk: UInt64 = 16

    private func rig(_ hook: @escaping HookedImage.Hook = { _, _ in nil }) throws -> HookedRig {
        try HookedRig(memory: Self.memory, image: HookedImage(size: 20 << 20, pattern: Self.pattern, hook))
    }

    /// Asks for a whole chunk at once.
    private func populate(_ rig: HookedRig, chunk: UInt64) throws {
        try rig.pager.populate(Int64(chunk) << 20..<Int64(chunk + 1) << 20)
    }

    /// True if a whole chunk is one flexpage.
    private func isOne(_ rig: HookedRig, chunk: UInt64) -> Bool { rig.order(chunk << 8) == 8 }

    /// Memory is full of base pages, and some of them, anywhere, are used often. Each request for a chunk gets one
    /// flexpage of 1 MiB. Every page that was used often is still there, with its hits and its bytes, and no frame is
    /// lost.
    @Test(arguments: [2, 4, 20, 100]) func largeFlexpagesCostNoKeptPage(onceIn: Int) throws {
        let reads = Tally()
        let rig = try rig { call, _ in
            if call == .populate { reads.add() }
            return nil
        }
        var random = SplitMix64(seed: 1, stream: UInt64(onceIn))
        try rig.populateSingly(0..<4096)
        let kept = (0..<4096 as Range<UInt64>).filter { _ in random.once(in: onceIn) }
        for page in kept { try rig.keep(page) }
        for chunk in Self.firstChunk..<Self.firstChunk + 4 {
            try populate(rig, chunk: chunk)
            #expect(isOne(rig, chunk: chunk))
            rig.pages.checkInvariants(isQuiet: true)
        }
        #expect(rig.pages.counters.moves > 0)
        #expect(rig.pages.counters.recycles == 4 * 256, "nothing is recycled to make room for what is moved")
        #expect(kept.allSatisfy { rig.state($0)?.hits == 3 && rig.queue($0) == .main })
        let readsSoFar = reads.count
        for page in kept { #expect(try rig.holds(Self.pattern, page)) }
        #expect(reads.count == readsSoFar)
        for page in Self.firstChunk << 8..<(Self.firstChunk + 4) << 8 { #expect(try rig.holds(Self.pattern, page)) }
        try rig.end()
    }

    /// The ways in which somebody has a page.
    enum Hold: CaseIterable, Sendable {
        case reader, writer, writeOut, fill
    }

    /// A page that somebody has stays where it is, and a request for a chunk is served at once all the same. It gets
    /// the largest block around a free Region in which that page does not lie. (The Region is frames 8 to 11.)
    @Test(arguments: Hold.allCases, [5, 60, 200] as [UInt64])
    func whatSomebodyHasStays(hold: Hold, page: UInt64) throws {
        let maxOrders: [UInt64: UInt8] = [5: 2, 60: 5, 200: 7]
        let gate = Gate()
        let rig = try rig { call, pages in
            if hold == .writeOut && call == .writeOut || hold == .fill && call == .populate && pages == page..<page + 1
            {
                gate.pass()
            }
            return nil
        }
        try Watchdog.guarding("a chunk beside a page that somebody has: \(hold), \(page)") { () throws in
            try rig.populateSingly(0..<page)
            let filler = hold == .fill ? Thread.start { _ = try? rig.holds(Self.pattern, page) } : nil
            Thread.wait { hold != .fill || gate.arrivals > 0 }
            if hold != .fill { try rig.populateSingly(page..<page + 1) }
            try rig.populateSingly(page + 1..<4096)
            for kept in stride(from: 0, to: 4096, by: 7) as StrideTo<UInt64> where kept != page { try rig.keep(kept) }
            try holding(rig, hold, page, gate) {
                try populate(rig, chunk: Self.firstChunk)
                #expect(rig.flexpage(at: page) == FlexpageID(page))
                #expect(rig.order(Self.firstChunk << 8) == maxOrders[page])
                rig.pages.checkInvariants()
            }
            gate.open()
            if let filler { pthread_join(filler, nil) }
        }
        #expect(rig.flexpage(at: page) == FlexpageID(page))
        #expect(try rig.holds(hold == .writeOut ? Self.newer : Self.pattern, page))
        for page in Self.firstChunk << 8..<(Self.firstChunk + 1) << 8 { #expect(try rig.holds(Self.pattern, page)) }
        try rig.pager.flush()
        try rig.end()
    }

    /// Calls `body` while somebody has `page`, and lets go of it at the end or when the gate is opened.
    private func holding(
        _ rig: HookedRig, _ hold: Hold, _ page: UInt64, _ gate: Gate, _ body: () throws -> Void
    ) throws {
        let range = BasePage.offset(of: page)..<BasePage.offset(of: page + 1)
        var progress = PageMapper.RequestProgress()
        switch hold {
        case .reader:
            let loan = try rig.provider.mapper.lend(range, &progress)
            try body()
            _ = consume loan
        case .writer:
            let loan = try rig.provider.mapper.lendForWriting(range, of: nil, &progress)
            try body()
            _ = consume loan
        case .writeOut:
            try rig.write(Self.newer, page)
            let flusher = Thread.start { try? rig.pager.flush() }
            Thread.wait { gate.arrivals > 0 }
            try body()
            gate.open()
            pthread_join(flusher, nil)
        case .fill: try body()
        }
    }

    /// Pages newer than the image are moved too, and so are pages on the image that are not yet durable. They keep
    /// their state, are read back as they were written, and reach the image with the next flush.
    @Test func dirtyPagesAreMoved() throws {
        let rig = try rig()
        try rig.populateSingly(0..<4096)
        let dirty = Array(stride(from: 0, to: 600, by: 3) as StrideTo<UInt64>)
        let unsynced = Array(stride(from: 1, to: 100, by: 3) as StrideTo<UInt64>)
        for page in unsynced { try rig.write(Self.newer, page) }
        for page in unsynced { try rig.provider.mapper.writeOut(page..<page + 1) }
        for page in dirty { try rig.write(Self.newer, page) }
        try populate(rig, chunk: Self.firstChunk)
        #expect(isOne(rig, chunk: Self.firstChunk))
        rig.pages.checkInvariants(isQuiet: true)
        let moved = dirty.filter { $0 < 256 } + unsynced
        #expect(moved.allSatisfy { rig.flexpage(at: $0) != FlexpageID($0) })
        #expect(rig.pages.counters.moves == UInt64(moved.count))
        #expect(dirty.allSatisfy { rig.state($0)?.has(PageState.dirty) == true })
        #expect(unsynced.allSatisfy { rig.state($0)?.has(PageState.unsynced) == true })
        #expect(rig.pages.dirtyLimit.pages == dirty.count)
        for page in dirty + unsynced { #expect(try rig.holds(Self.newer, page)) }
        for page in dirty { #expect(rig.image.holds(Self.pattern, page), "moving writes nothing out") }
        try rig.pager.flush()
        for page in dirty + unsynced { #expect(rig.image.holds(Self.newer, page)) }
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// A moved flexpage keeps its state (read ahead, marked, its hits) and its position, in its queue and in time.
    /// Afterwards everything is as in a twin that read the chunk base page by base page, and so moved nothing. What is
    /// resident will be recycled in the same order.
    @Test(.oneThread, arguments: 1...6 as ClosedRange<UInt64>) func movingChangesNoTurn(seed: UInt64) throws {
        let (rig, twin) = (try mixedMemory(seed), try mixedMemory(seed))
        try populate(rig, chunk: Self.firstChunk)
        for page in Self.firstChunk << 8..<(Self.firstChunk + 1) << 8 {
            try twin.pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1))
        }
        #expect(isOne(rig, chunk: Self.firstChunk))
        #expect(rig.pages.counters.moves > 0 && twin.pages.counters.moves == 0)
        var movedMarks = 0
        for page in 0..<4096 as Range<UInt64> {
            #expect(rig.state(page) == twin.state(page), "page \(page), FLEXPAGE_SEED=\(seed)")
            #expect(rig.queue(page) == twin.queue(page) && rig.position(page)?.raw == twin.position(page)?.raw)
            let isMarked = rig.state(page)?.has(PageState.marked) == true
            if isMarked, rig.flexpage(at: page) != FlexpageID(page) { movedMarks += 1 }
        }
        #expect(movedMarks > 0)
        let orders = [rig, twin].map { $0.orderOfRecycling().filter { $0 < 4096 } }
        #expect(orders[0] == orders[1] && orders[0].count == 4096 - 256, "FLEXPAGE_SEED=\(seed)")
        try rig.end()
        try twin.end()
    }

    /// Memory full of base pages: some read ahead, some of those marked, a third in main with any number of hits. Some
    /// are in another order in their queue than in memory.
    private func mixedMemory(_ seed: UInt64) throws -> HookedRig {
        let rig = try rig()
        var random = SplitMix64(seed: seed)
        for page in 0..<4096 as Range<UInt64> {
            if random.once(in: 4) {
                rig.provider.mapper.readAhead(page..<page + 1, mark: random.once(in: 2) ? page : nil)
            } else {
                try rig.populateSingly(page..<page + 1)
            }
        }
        for page in (0..<4096 as Range<UInt64>).shuffled(using: &random) {
            if random.once(in: 3) { try rig.keep(page, hits: UInt32(random.pick(0...3))) }
            if random.once(in: 10) { try rig.renew(page) }
        }
        return rig
    }

    /// A flexpage in the way is moved if it is no larger than 64 KiB. A larger one stays, and the blocks beside it
    /// serve.
    @Test(arguments: 0...7 as ClosedRange<UInt8>) func largeFlexpagesAreNotMoved(order: UInt8) throws {
        let rig = try rig()
        let pages = UInt64(1) << UInt64(order)
        try rig.pager.populate(0..<BasePage.offset(of: pages))
        #expect(rig.flexpage(at: 0) == 0 && rig.order(0) == order)
        try rig.populateSingly(pages..<4096)
        try rig.keep(0)
        try populate(rig, chunk: Self.firstChunk)
        rig.pages.checkInvariants(isQuiet: true)
        let isMoved = order <= Pages.maxMoved
        #expect(rig.order(0) == order && (rig.flexpage(at: 0) != 0) == isMoved)
        #expect(isOne(rig, chunk: Self.firstChunk) == isMoved)
        #expect(rig.pages.counters.moves == (isMoved ? pages : 0))
        for page in 0..<pages { #expect(try rig.holds(Self.pattern, page)) }
        for page in Self.firstChunk << 8..<(Self.firstChunk + 1) << 8 { #expect(try rig.holds(Self.pattern, page)) }
        try rig.end()
    }
}
