import Glibc
import Testing

@testable import Paging

/// What debug builds check at each lock. A violation ends the process, so a process of its own commits it.
@Suite struct LockRankTests {
    /// Locks in the order of their ranks are fine, all shards in ascending order too, and nothing is held at the end.
    @Test func inOrder() throws {
        let rig = try Rig(memory: 4 << 20, image: MemoryImage(size: 1 << 20))
        let shards = rig.pages.memory.metadata.shards
        shards.lock()
        rig.provider.ledger.lock.withLock {}
        shards.unlock()
        rig.pages.checkInvariants()
        LockRank.assertNoneHeld()
        try rig.end()
    }

    #if DEBUG
        /// A lock of an earlier rank, or of the same one, is refused. So is a call of an image with a lock held.
        @Test func outOfOrder() async {
            await #expect(processExitsWith: .failure) {
                LockRank.ledger.willLock()
                LockRank.shard.willLock()
            }
            await #expect(processExitsWith: .failure) {
                LockRank.shard.willLock()
                LockRank.shard.willLock()
            }
            await #expect(processExitsWith: .failure) {
                LockRank.shard.willLock()
                LockRank.assertNoneHeld()
            }
            await #expect(processExitsWith: .failure) { LockRank.ledger.didUnlock() }
            await #expect(processExitsWith: .success) {
                LockRank.registry.willLock()
                LockRank.shard.willLock()
                LockRank.ledger.willLock()
                LockRank.innermost.willLock()
                LockRank.innermost.didUnlock()
                LockRank.ledger.didUnlock()
                LockRank.shard.didUnlock()
                LockRank.registry.didUnlock()
                LockRank.assertNoneHeld()
                exit(EXIT_SUCCESS)
            }
        }
    #endif
}
