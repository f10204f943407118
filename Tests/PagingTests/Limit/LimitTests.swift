import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// The memory is limited at run time.
@Suite struct LimitTests {
    /// A quiet memory, full of clean pages, becomes smaller, larger, and smaller again. What is read is right, and
    /// nothing is lost.
    @Test func lowerRaiseLower() throws {
        let rig = try LimitRig()
        try Watchdog.guarding("a quiet memory") { () throws in
            for blocks in [60, 10, 90, 0, 90] {
                try rig.read(0..<4096)
                try rig.set(less: blocks)
                rig.wait(less: blocks)
                rig.pages.checkInvariants(isQuiet: true)
                #expect(rig.pages.memory.withheldFrames.count == blocks * LimitRig.block)
                #expect(rig.backing.releases.count - rig.backing.allocations.count == blocks)
                try rig.read(0..<4096)
                for page in stride(from: UInt64(0), to: 8192, by: 97) {
                    let found = try rig.byte(ofPage: page)
                    #expect(found == rig.images[0].byte(ofPage: page))
                }
            }
        }
        try rig.end()
    }

    /// What is used again and again stays, wherever it lies: only what would be recycled next goes.
    @Test func hotPagesStay() throws {
        let rig = try LimitRig(frames: 4096)
        let hot = stride(from: UInt64(0), to: 4096, by: 4)
        // Scattered over all blocks, and used often.
        try rig.read(0..<4000)
        for _ in 0..<4 {
            for page in hot { try rig.read(page..<page + 1) }
            try rig.read(4000..<8000)
        }
        for page in hot { try rig.read(page..<page + 1) }
        let before = rig.providers[0].counters.misses
        for page in hot { try rig.read(page..<page + 1) }
        try #require(rig.providers[0].counters.misses == before, "all hot pages are in memory")
        Watchdog.guarding("hot pages stay") {
            try? rig.set(less: 150)
            rig.wait(less: 150)
        }
        for page in hot { try rig.read(page..<page + 1) }
        let misses = rig.providers[0].counters.misses - before
        #expect(misses == 0, "\(misses) of 1024 hot pages are gone")
        #expect(rig.pages.counters.moves > 0)
        try rig.end()
    }

    /// As long as there is room for everything, nothing leaves the memory, neither clean nor dirty.
    @Test func nothingGoesIfThereIsRoom() throws {
        let rig = try LimitRig()
        try rig.read(0..<600)
        for page in UInt64(600)..<700 { try rig.write(7, page: page) }
        let before = rig.pages.counters
        try rig.set(less: 70)
        Watchdog.guarding("there is room") { rig.wait(less: 70) }
        let after = rig.pages.counters
        #expect(after.recycles == before.recycles && after.writes == before.writes)
        #expect(rig.providers[0].heldPages == 700 && rig.providers[0].dirtyPages == 100)
        for page in UInt64(600)..<700 {
            let found = try rig.byte(ofPage: page)
            #expect(found == 7)
        }
        #expect(rig.pages.counters.misses == before.misses)
        try rig.end()
    }

    /// All that is computed from the size of the memory follows, down and up again.
    @Test func whatFollows() throws {
        let rig = try LimitRig(images: 2, isShared: true, readahead: 16 << 20)
        rig.providers[1].setReserve(.share(0.25))
        struct Sizes: Equatable {
            let dirty, ofImage, fill, fills, ahead, window, share, reserve, probation: Int
        }
        func sizes() -> Sizes {
            let pages = rig.pages
            return Sizes(
                dirty: pages.dirtyLimit.limit, ofImage: rig.providers[0].mapper.context.dirtyLimit.allowed,
                fill: pages.maxFramesOfFill, fills: pages.sizes.maxFramesOfFills, ahead: pages.prefetches.maxPages,
                window: rig.providers[0].readahead / 4096, share: rig.providers[0].reservedPages,
                reserve: rig.providers[1].reservedPages,
                probation: pages.queue.probationTarget(ofImage: rig.providers[0].image))
        }
        let whole = sizes()
        #expect(
            whole
                == Sizes(
                    dirty: 819, ofImage: 409, fill: 256, fills: 512, ahead: 512, window: 68, share: 512, reserve: 512,
                    probation: 204))
        try rig.set(less: 64)
        Watchdog.guarding("half") { rig.wait(less: 64) }
        #expect(
            sizes()
                == Sizes(
                    dirty: 409, ofImage: 204, fill: 128, fills: 256, ahead: 256, window: 34, share: 256, reserve: 256,
                    probation: 102))
        rig.pages.checkInvariants(isQuiet: true)
        try rig.set(less: 0)
        Watchdog.guarding("all") { rig.wait(less: 0) }
        #expect(sizes() == whole)
        try rig.end()
    }

    /// What cannot be is refused, with the limit that can be: that one is accepted.
    @Test func refusals() throws {
        let rig = try LimitRig()
        let max = rig.pages.memory.bytes
        #expect(throws: LimitRefusal.above(max: max)) { try rig.limit.set(max + 1) }
        let min = rig.limit.min(reserves: [])
        #expect(throws: LimitRefusal.below(min: min)) { try rig.limit.set(min - 1) }
        #expect(throws: LimitRefusal.below(min: min)) { try rig.limit.set(0) }
        let reserves: [Reserve] = [.bytes(600 * 4096), .share(0.1)]
        let withReserves = rig.limit.min(reserves: reserves)
        // 600 + N / 10 ≤ N / 2
        #expect(withReserves > max - (2048 - 1500) * 4096 && withReserves <= max - (2048 - 1500 - 16) * 4096)
        #expect(throws: LimitRefusal.below(min: withReserves)) {
            try rig.limit.set(withReserves - 1, reserves: reserves)
        }
        #expect(rig.limit.progress.held == max && rig.limit.progress.isReached)
        try rig.limit.set(withReserves, reserves: reserves)
        try rig.limit.set(min)
        Watchdog.guarding("the minimum") { Thread.wait { rig.limit.progress.isReached } }
        #expect(rig.limit.progress.held == min)
        try rig.read(0..<4096)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 3_600_000)
        for page in UInt64(0)..<500 { try rig.write(1, page: page) }
        try rig.providers[0].flush()
        writeback.stop()
        try rig.end()
    }

    /// A block in which pages are lent is tried again, and others are taken instead. If there are no others, the limit
    /// waits for the pages, without a lock, until they are given back.
    @Test func lentPages() throws {
        let rig = try LimitRig(frames: 600)
        try rig.read(0..<600)
        try Watchdog.guarding("pages that are lent") { () throws in
            let (isHolding, isDone) = (Gate(), Gate())
            let holder = Thread.start { Self.lend(rig, stride(from: UInt64(0), to: 600, by: 8), isHolding, isDone) }
            Thread.wait { isHolding.isOpened }
            try rig.set(less: 20)
            Thread.wait { rig.limit.progress.obstacle == .inUse }
            #expect(!rig.limit.progress.isReached)
            // Nobody waits for the limit.
            try rig.read(600..<900)
            isDone.open()
            pthread_join(holder, nil)
            rig.wait(less: 20)
        }
        try rig.end()
    }

    /// Lends pages, one after the other, until all have been lent, and then waits.
    private static func lend(
        _ rig: LimitRig, _ pages: StrideTo<UInt64>, _ isHolding: Gate, _ isDone: Gate
    ) {
        let context = rig.providers[0].mapper.context
        var pinned: [(FlexpageID, UInt64)] = []
        for page in pages {
            let id: FlexpageID? = context.map.chunk(of: page).withLock { chunk in
                let id = context.map.flexpage(at: page, in: chunk)
                var mark: UInt64?
                guard id != .none, context.pin(id, exclusively: false, at: BasePage.offset(of: page), &mark) else {
                    return nil
                }
                return id
            }
            if let id { pinned.append((id, page)) }
        }
        isHolding.open()
        isDone.pass()
        for (id, page) in pinned { context.giveBack(id, covering: page) }
    }
}
