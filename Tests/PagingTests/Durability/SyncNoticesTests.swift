import Glibc
import Testing

@testable import Paging

/// The notices about an image whose syncs fail.
@Suite struct SyncNoticesTests {
    /// A trouble is reported once, however many syncs fail, and so is its end, with the number of failures.
    @Test func beginningAndEnd() throws {
        let notices = Guarded<[Notice]>([])
        let rig = try PagingRig(image: FailingImage(size: 1 << 20)) { notice in notices.withLock { $0.append(notice) } }
        for failures in 1...3 as ClosedRange<UInt64> {
            try rig.write(1, count: 4096, at: 0)
            rig.image.fail(.sync, with: EIO)
            for _ in 0..<failures { #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() } }
            rig.image.fail(.sync, with: 0)
            try rig.pager.flush()
            let told = notices.withLock { told in
                defer { told = [] }
                return told
            }
            #expect(told == [.syncFailed(AccessError(EIO), isLost: false), .syncWorksAgain(failures: failures)])
        }
        #expect(rig.provider.syncLatencies.failures == 6 && rig.pages.syncLatencies.failures == 6)
        #expect(rig.provider.flushLatencies.failures == 0)
        try rig.end()
    }

    /// A first failure loses nothing, and a later one of the same trouble does: that is reported too, once. Nothing is
    /// said to work again after a loss.
    @Test func aLaterFailureLoses() throws {
        let notices = Guarded<[Notice]>([])
        let rig = try PagingRig(image: FailingImage(size: 1 << 20)) { notice in notices.withLock { $0.append(notice) } }
        try rig.pager.flush()
        rig.image.fail(.sync, with: EIO)
        try rig.write(1, count: 4096, at: 0)
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        #expect(rig.provider.lost == nil)
        try rig.pager.trim(65_536..<131_072, forced: false)
        for _ in 0..<2 { #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() } }
        #expect(rig.provider.lost == AccessError(EIO))
        rig.image.fail(.sync, with: 0)
        #expect(throws: AccessError(EIO)) { try rig.provider.durability.sync() }
        #expect(
            notices.withLock { $0 }
                == [.syncFailed(AccessError(EIO), isLost: false), .syncFailed(AccessError(EIO), isLost: true)])
        #expect(throws: AccessError(EIO)) { try rig.registry.close(rig.provider) }
        #expect(rig.pages.memory.freeFrames == rig.frames)
    }
}
