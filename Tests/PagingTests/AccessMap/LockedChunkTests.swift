import Glibc
import Testing

@testable import Paging

/// Whoever has a LockedChunk has the lock of its shard, and gives it up.
@Suite struct LockedChunkTests {
    /// It knows its chunk, and is what `lock`, `withLock` and `assumingLocked` have in common.
    @Test func locksTheShard() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let map = pages.accessMap(ofImage: 3)
        let hashed = map.chunk(of: 256 * 7 + 100)
        #expect(hashed.pages == 256 * 7..<256 * 8)
        #expect(hashed.shard == map.shard(of: 256 * 7) && hashed.shardIndex == hashed.shard - map.shards)
        let chunk = hashed.lock()
        #expect(chunk.contains(256 * 7..<256 * 8) && !chunk.contains(256 * 7..<256 * 8 + 1) && !chunk.contains(256 * 8))
        #expect(!hashed.shard.tryLock(), "it is locked")
        hashed.assumingLocked { chunk in #expect(map.flexpage(at: 256 * 7, in: chunk) == .none) }
        #expect(!hashed.shard.tryLock(), "it still is")
        #expect(chunk.unlock().firstPage == 256 * 7)
        hashed.withLock { _ in #expect(!hashed.shard.tryLock()) }
        #expect(hashed.shard.tryLock(), "it is not locked any more")
        hashed.shard.unlock()
        LockRank.assertNoneHeld()
    }

    #if DEBUG
        /// One that is made without the lock, or lost without `unlock`, ends the process.
        @Test func mistakes() async {
            await #expect(processExitsWith: .failure) {
                try Self.withChunk { chunk in chunk.assumingLocked { _ in } }
            }
            await #expect(processExitsWith: .failure) {
                try Self.withChunk { chunk in _ = chunk.lock() }
            }
            await #expect(processExitsWith: .success) {
                try Self.withChunk { chunk in chunk.lock().unlock() }
                exit(EXIT_SUCCESS)
            }
        }

        private static func withChunk(_ body: (HashedChunk) -> Void) throws {
            let pages = try Pages(memory: Pages.minMemory)
            withExtendedLifetime(pages) { body(pages.accessMap(ofImage: 0).chunk(of: 0)) }
        }
    #endif
}
