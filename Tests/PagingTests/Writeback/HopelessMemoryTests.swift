import Glibc
import Testing

@testable import Paging

/// All of the memory is dirty, and nothing of it can be written out: requests that need memory fail with the reason.
@Suite struct HopelessMemoryTests {
    private static func rig(_ hook: @escaping HookedImage.Hook) throws -> HookedRig {
        try PagingRig(image: HookedImage(size: 4 << 20, hook))
    }

    /// Makes every frame hold a dirty page, which the dirty limit never allows: pages from the image's beginning on.
    private static func fillWithDirtyPages(_ rig: HookedRig) throws -> Range<UInt64> {
        let all = 0..<UInt64(rig.frames)
        try rig.pager.populate(0..<BasePage.offset(of: all.upperBound))
        try #require(rig.pages.memory.freeFrames == 0)
        let context = rig.provider.mapper.context
        for page in all {
            let id = context.map.flexpage(at: page)
            let newly: Int? = context.map.chunk(of: page).withLock { chunk in
                var mark: UInt64?
                guard context.pin(id, exclusively: true, at: BasePage.offset(of: page), &mark) else { return nil }
                return context.map.markDirty(page..<page + 1, in: chunk)
            }
            context.dirtyLimit.add(try #require(newly))
            context.giveBack(id, covering: page, PageState.pin | PageState.exclusive)
        }
        rig.pages.checkInvariants(isQuiet: true)
        return all
    }

    private static func error(_ body: () throws(AccessError) -> Void) -> AccessError? {
        do throws(AccessError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    /// Reads and writes of what is not in memory fail with the error of the write-outs. Those of what is in memory go
    /// on. All of them go on once it can be written.
    @Test func requestsFailWithTheReason() throws {
        let isFull = Guarded(true)
        let rig = try HopelessMemoryTests.rig { call, _ in
            call == .writeOut && isFull.withLock { $0 } ? AccessError(ENOSPC) : nil
        }
        let dirty = try HopelessMemoryTests.fillWithDirtyPages(rig)
        let missing = BasePage.offset(of: dirty.upperBound)
        Watchdog.guarding("requests fail with the reason") {
            #expect(throws: AccessError(ENOSPC)) { try rig.pager.flush() }
            #expect(rig.readError(4096, at: missing) == AccessError(ENOSPC))
            #expect(
                HopelessMemoryTests.error { () throws(AccessError) in try rig.write(1, count: 10, at: missing) } != nil)
            #expect(rig.readError(4096, at: 0) == nil)
            isFull.withLock { $0 = false }
            #expect(throws: Never.self) { try rig.pager.flush() }
            #expect(rig.readError(4096, at: missing) == nil)
            #expect(throws: Never.self) { try rig.write(1, count: 10, at: missing) }
        }
        #expect(!rig.pages.waiters.isAnyoneWaiting)
        try rig.pager.flush()
        try rig.end()
    }

    /// A request that already sleeps, while there is hope, gets the error with the last write-out that fails. While
    /// something is lent it sleeps on, until that is given back.
    @Test(arguments: [false, true]) func whoSleepsIsWoken(isLent: Bool) throws {
        let gate = Gate()
        let rig = try HopelessMemoryTests.rig { call, _ in
            guard call == .writeOut else { return nil }
            gate.pass()
            return AccessError(ENOSPC)
        }
        let dirty = try HopelessMemoryTests.fillWithDirtyPages(rig)
        let missing = BasePage.offset(of: dirty.upperBound)
        let error = Guarded<AccessError?>(nil)
        try Watchdog.guarding("a request that sleeps is woken") { () throws in
            var progress = PageMapper.RequestProgress()
            let loan = isLent ? try rig.provider.mapper.lend(0..<4096, &progress) : nil
            let flush = Companion { try? rig.pager.flush() }
            Thread.wait { gate.arrivals > 0 }
            let reader = Companion {
                let outcome = rig.readError(4096, at: missing)
                error.withLock { $0 = outcome }
            }
            reader.waitUntilAsleep()
            #expect(!reader.hasEnded)
            gate.open()
            flush.join()
            if isLent {
                reader.waitUntilAsleep()
                #expect(!reader.hasEnded, "there is hope while somebody has a page")
            }
            _ = consume loan
            reader.join()
        }
        #expect(error.withLock { $0 } == AccessError(ENOSPC))
        try rig.pager.trim(0..<4 << 20, forced: false)
        try rig.end()
    }

    /// Pages that are not durable yet are recycled last, but they are, however few there are among dirty ones.
    @Test(arguments: [1, 2, 5]) func whatIsNotDurableIsFoundAmongDirtyPages(count: UInt64) throws {
        let rig = try HopelessMemoryTests.rig { _, _ in nil }
        _ = try HopelessMemoryTests.fillWithDirtyPages(rig)
        try rig.provider.mapper.writeOut(50..<50 + count)
        var taken: [Region] = []
        while let region = rig.pages.takeRegion(order: 0, room: 1) { taken.append(region) }
        #expect(taken.count == Int(count))
        for region in taken { rig.pages.give(region) }
        try rig.pager.flush()
        try rig.end()
    }

    /// A request that finds no memory makes the watch clean some at once, before the watch would look by itself.
    @Test func whoFindsNoMemoryKicksTheWatch() throws {
        let rig = try HopelessMemoryTests.rig { _, _ in nil }
        let dirty = try HopelessMemoryTests.fillWithDirtyPages(rig)
        Watchdog.guarding("a request without memory kicks the watch") {
            let watch = Companion { _ = rig.pages.writebackQueue.waitForKick(milliseconds: 3_600_000) }
            watch.waitUntilAsleep()
            let reader = Companion { _ = rig.readError(4096, at: BasePage.offset(of: dirty.upperBound)) }
            watch.join()
            try? rig.pager.flush()
            reader.join()
        }
        try rig.end()
    }
}
