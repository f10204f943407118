import Glibc
import Testing

@testable import Paging

/// Dirty pages go out by themselves: when they are old, when they are many, and once more after a failure.
@Suite struct WritebackTests {
    /// An age that nothing reaches.
    private static let forEver = 1 << 40

    private func start(_ rig: ObservedRig, dirtyAge: Int) throws -> Writeback {
        try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: dirtyAge)
    }

    /// Returns when the watch has looked after the image `count` times more: it ends an epoch each time.
    private func waitForLooks(_ count: UInt32, _ rig: ObservedRig) {
        let ledger = rig.provider.ledger
        func epoch() -> UInt32 { ledger.lock.withLock { ledger.record.pointee.epoch } }
        let begin = epoch()
        Thread.wait { epoch() &- begin > count }
    }

    /// Pages older than the age go out though they are few and nobody asks. That does not make them durable.
    @Test func ageBringsItOut() throws {
        let rig = try ObservedRig()
        try rig.dirty([0, 1, 100], 5)
        let writeback = try start(rig, dirtyAge: 1)
        Watchdog.guarding("age brings it out") {
            Thread.wait { rig.image.written.count == 3 }
            writeback.stop()
        }
        for page in [0, 1, 100] as [UInt64] { #expect(rig.image.holds(5, page) && rig.isUnsynced(page)) }
        #expect(rig.pages.dirtyLimit.pages == 0)
        #expect(rig.image.syncs == 0)
        try rig.end()
    }

    /// Young and few pages stay, however often the watch looks, and when the crew goes home. A flush writes them out.
    @Test func whatIsYoungStays() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<10)
        let writeback = try start(rig, dirtyAge: WritebackTests.forEver)
        Watchdog.guarding("what is young stays") {
            waitForLooks(3, rig)
            writeback.stop()
        }
        #expect(rig.image.written.isEmpty)
        #expect(rig.pages.dirtyLimit.pages == 10)
        try rig.pager.flush()
        #expect(rig.image.written.count == 10 && rig.image.syncs == 1)
        try rig.end()
    }

    /// Pages above the target go out, however young, until no more than the target is left.
    @Test func muchGoesOut() throws {
        let rig = try ObservedRig(memory: 4 << 20)
        let target = rig.pages.dirtyLimit.backgroundTarget
        try rig.dirty(0..<UInt64(target + 20))
        #expect(rig.image.written.isEmpty, "without a crew nothing goes out")
        let writeback = try start(rig, dirtyAge: WritebackTests.forEver)
        Watchdog.guarding("much goes out") {
            Thread.wait { rig.pages.dirtyLimit.pages <= target }
            writeback.stop()
        }
        try rig.end()
    }

    /// A writer above the target makes the watch clean some at once, before the watch would look by itself.
    @Test func aWriterAboveTheTargetKicksTheWatch() throws {
        let rig = try ObservedRig(memory: 4 << 20)
        try Watchdog.guarding("a writer above the target kicks the watch") { () throws in
            let watch = Companion { _ = rig.pages.writebackQueue.waitForKick(milliseconds: 3_600_000) }
            watch.waitUntilAsleep()
            try rig.dirty(0..<UInt64(rig.pages.dirtyLimit.backgroundTarget))
            watch.waitUntilAsleep()
            #expect(!watch.hasEnded, "it is kicked without need")
            try rig.dirty([3000])
            watch.join()
        }
        try rig.end()
    }

    /// A writer of many times the limit makes progress, and everything that it wrote arrives.
    @Test func aWriterAtTheLimitGetsOn() throws {
        let rig = try ObservedRig(memory: 2 << 20)
        let count = UInt64(rig.pages.dirtyLimit.limit * 4)
        let writeback = try start(rig, dirtyAge: WritebackTests.forEver)
        try Watchdog.guarding("a writer at the limit makes progress") { () throws in
            for page in 0..<count {
                try rig.dirty([page], UInt8(page % 251 + 1))
                #expect(rig.pages.dirtyLimit.pages <= rig.pages.dirtyLimit.limit)
            }
            try rig.pager.flush()
            writeback.stop()
        }
        for page in 0..<count { #expect(rig.image.holds(UInt8(page % 251 + 1), page)) }
        try rig.end()
    }

    /// While somebody waits for memory dirty pages go out, however young and few: they may be the obstacle.
    @Test func whoWaitsForMemoryHasItWrittenOut() throws {
        let rig = try ObservedRig()
        try rig.dirty([3])
        let writeback = try start(rig, dirtyAge: WritebackTests.forEver)
        Watchdog.guarding("a wait for memory has it written out") {
            waitForLooks(1, rig)
            #expect(rig.image.written.isEmpty)
            _ = rig.pages.waiters.begin()
            Thread.wait { rig.image.written == [3] }
            rig.pages.waiters.end()
            writeback.stop()
        }
        try rig.end()
    }

    /// What could not be written out is tried again, without a request, until it is out. The trouble is reported once,
    /// and its end once. A flush fails meanwhile.
    @Test func whatFailedIsTriedAgain() throws {
        let notices = Guarded<[Notice]>([])
        let rig = try ObservedRig { notice in notices.withLock { $0.append(notice) } }
        rig.image.fail(5, with: ENOSPC)
        try rig.dirty([5, 6, 50])
        let writeback = try start(rig, dirtyAge: 1)
        Watchdog.guarding("what failed is tried again") {
            Thread.wait { rig.pages.counters.failedWrites > 0 }
            #expect(throws: AccessError(ENOSPC)) { try rig.pager.flush() }
            let failures = rig.pages.counters.failedWrites
            Thread.wait { rig.pages.counters.failedWrites > failures }
            #expect(rig.isUnsynced(50) || !rig.isDirty(50), "one failure does not stop the rest")
            rig.image.heal()
            Thread.wait { notices.withLock { $0.count } == 2 }
            writeback.stop()
        }
        #expect(rig.image.holds(1, 5) && rig.pages.dirtyLimit.pages == 0)
        let failures = rig.pages.counters.failedWrites
        let told = notices.withLock { $0 }
        #expect(told.last == .writeOutWorksAgain(failures: failures))
        guard case .writeOutFails(AccessError(ENOSPC), _) = told[0] else {
            Issue.record("the first notice is \(told[0])")
            return
        }
        try rig.end()
    }

    /// Many pages that are out and not durable are synced by themselves, because they are the last to be recycled. A
    /// few are not.
    @Test func muchThatIsUnsyncedIsSynced() throws {
        let rig = try ObservedRig(memory: 4 << 20)
        let writeback = try start(rig, dirtyAge: 1)
        try Watchdog.guarding("much that is unsynced is synced") { () throws in
            try rig.dirty(0..<20)
            Thread.wait { rig.provider.durability.risk.unsyncedPages == 20 }
            waitForLooks(2, rig)
            #expect(rig.image.syncs == 0)
            try rig.dirty(0..<UInt64(rig.frames / 4 + 20))
            Thread.wait { rig.image.syncs > 0 }
            writeback.stop()
        }
        #expect(rig.provider.durability.risk.unsyncedPages <= rig.frames / 4)
        try rig.end()
    }

    /// All images are looked after, even those that are opened later.
    @Test func allImagesAreLookedAfter() throws {
        let rig = try ObservedRig()
        let writeback = try start(rig, dirtyAge: 1)
        let other = ObservedImage(size: 1 << 20)
        let second = try rig.registry.open(ImageIdentity(device: 1, inode: 2)) { other }
        let bytes = [UInt8](repeating: 9, count: 4096)
        try bytes.withUnsafeBytes { try Pager(second).write(from: $0, at: 0, forced: false) }
        try rig.dirty([1])
        Watchdog.guarding("all images are looked after") {
            Thread.wait { other.written == [0] && rig.image.written == [1] }
            writeback.stop()
        }
        #expect(other.holds(9, 0))
        try rig.registry.close(second)
        try rig.end()
    }
}
