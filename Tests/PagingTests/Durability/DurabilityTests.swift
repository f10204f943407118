import Glibc
import Testing

@testable import Paging

/// What a failed sync means (invariant 6).
@Suite struct DurabilityTests {
    /// An image whose syncs do what the test says, and what is told of it.
    private struct Image {
        /// What happens during a sync, and how it ends.
        let whileSyncing = Guarded<(@Sendable () -> AccessError?)?>(nil)
        let notices = Guarded<[Notice]>([])
        let rig: HookedRig

        init() throws {
            let (whileSyncing, notices) = (whileSyncing, notices)
            let image = HookedImage(size: 1 << 20) { call, _ in
                guard call == .sync, let body = whileSyncing.withLock({ $0 }) else { return nil }
                return body()
            }
            rig = try HookedRig(image: image) { notice in notices.withLock { $0.append(notice) } }
        }

        var told: [Notice] { notices.withLock { $0 } }

        /// From now on syncs fail, or succeed.
        func failSyncs(_ areToFail: Bool = true) {
            let failing: @Sendable () -> AccessError? = { AccessError(EIO) }
            whileSyncing.withLock { $0 = areToFail ? failing : nil }
        }

        /// Writes page `page` and brings it to the image, without a sync.
        func writeOut(_ page: Int64) throws {
            try rig.write(1, count: 4096, at: page * 4096)
            try rig.provider.mapper.writeOut(UInt64(page)..<UInt64(page) + 1)
        }

        /// The image is lost: nothing is called durable, however well syncs work now.
        func expectLost() {
            failSyncs(false)
            #expect(rig.provider.lost == AccessError(EIO))
            #expect(throws: AccessError(EIO)) { try rig.provider.flush() }
            #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
        }

        /// Closes the image, of which something is lost.
        func endLost() throws {
            rig.pages.checkInvariants(isQuiet: true)
            #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
            #expect(rig.pages.memory.freeFrames == rig.frames)
        }
    }

    /// What is still in memory is dirty again and goes out once more; then all is well.
    @Test func whatIsInMemoryIsDirtyAgain() throws {
        let image = try Image()
        let rig = image.rig
        try image.writeOut(3)
        #expect(rig.provider.durability.risk.unsyncedPages == 1 && rig.pages.dirtyLimit.pages == 0)
        image.failSyncs()
        #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
        #expect(rig.provider.durability.risk.unsyncedPages == 0 && rig.pages.dirtyLimit.pages == 1)
        #expect(rig.provider.lost == nil && rig.provider.trouble == AccessError(EIO))
        rig.pages.checkInvariants(isQuiet: true)
        #expect(throws: AccessError(EIO)) { try rig.provider.flush() }
        image.failSyncs(false)
        try rig.provider.flush()
        #expect(rig.provider.trouble == nil && rig.pages.dirtyLimit.pages == 0)
        #expect(image.told == [.syncFailed(AccessError(EIO), isLost: false), .syncWorksAgain(failures: 2)])
        try rig.end()
    }

    /// What was written out and recycled before the sync failed is lost, for good.
    @Test func whatHasBeenRecycledIsLost() throws {
        let image = try Image()
        try image.writeOut(3)
        image.rig.recycleAll()
        image.failSyncs()
        #expect(throws: AccessError(EIO)) { try image.rig.provider.flush() }
        image.expectLost()
        #expect(image.told == [.syncFailed(AccessError(EIO), isLost: true)])
        try image.endLost()
    }

    /// A good sync covers what had been recycled before it began.
    @Test func whatAGoodSyncCoversIsNotLost() throws {
        let image = try Image()
        try image.writeOut(3)
        image.rig.recycleAll()
        try image.rig.provider.durability.sync()
        image.failSyncs()
        #expect(throws: AccessError(EIO)) { try image.rig.provider.durability.sync() }
        #expect(image.rig.provider.lost == nil)
        image.failSyncs(false)
        try image.rig.end()
    }

    /// What is written out and recycled while a good sync is under way is not covered by it: the next one, if it fails,
    /// loses it.
    @Test func whatHappensDuringAGoodSyncIsNotCovered() throws {
        let image = try Image()
        let (gate, rig) = (Gate(), image.rig)
        image.whileSyncing.withLock {
            $0 = {
                gate.pass()
                return nil
            }
        }
        try Watchdog.guarding("a sync is under way") { () throws in
            let syncing = Companion { try? rig.provider.durability.sync() }
            Thread.wait { gate.arrivals == 1 }
            try image.writeOut(3)
            rig.recycleAll()
            gate.open()
            syncing.join()
        }
        image.failSyncs()
        #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
        image.expectLost()
        try image.endLost()
    }

    /// A trim that is under way while a sync fails may be lost.
    @Test func aChangeUnderWayIsLost() throws {
        let image = try Image()
        let risk = image.rig.provider.durability.risk
        risk.beginChange()
        image.failSyncs()
        #expect(throws: AccessError(EIO)) { try image.rig.provider.durability.sync() }
        risk.endChange()
        image.expectLost()
        try image.endLost()
    }

    /// A failure that loses nothing is told once; a loss that comes later is told too, and once; and then there is no
    /// talk of syncs that work again.
    @Test func aLaterLossIsTold() throws {
        let image = try Image()
        image.failSyncs()
        for _ in 0..<2 { #expect(throws: AccessError(EIO)) { try image.rig.provider.durability.sync() } }
        #expect(image.told == [.syncFailed(AccessError(EIO), isLost: false)])
        try image.rig.pager.trim(0..<65_536, forced: false)
        for _ in 0..<2 { #expect(throws: AccessError(EIO)) { try image.rig.provider.durability.sync() } }
        image.expectLost()
        let failed = [false, true].map { Notice.syncFailed(AccessError(EIO), isLost: $0) }
        #expect(image.told == failed)
        try image.endLost()
    }
}
