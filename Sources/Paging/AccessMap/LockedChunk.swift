/// A chunk whose shard's lock the caller holds. A function that asks for one wants that lock held, and one that asks
/// for a HashedChunk does not.
///
/// It cannot be copied, and `unlock` consumes it. So the compiler refuses code that goes on after the lock has been
/// given up. Debug builds check that the lock is held where one is made, and end the process where one is lost without
/// `unlock`. It costs nothing.
struct LockedChunk: ~Copyable {
    let chunk: HashedChunk

    /// For `HashedChunk` alone: the caller holds the lock of the chunk's shard.
    @inline(__always)
    init(assumingLockOf chunk: HashedChunk) {
        LockRank.shard.assertHeld()
        self.chunk = chunk
    }

    @inline(__always)
    deinit { assertionFailure("whoever locks a chunk unlocks it") }

    /// Gives the lock up.
    /// - Returns: The same chunk, to be locked again.
    @inline(__always)
    @discardableResult
    consuming func unlock() -> HashedChunk {
        let chunk = self.chunk
        chunk.shard.unlock()
        discard self
        return chunk
    }

    /// Ends this one and keeps the lock.
    @inline(__always)
    consuming func leaveLocked() { discard self }

    @inline(__always)
    var shard: UnsafeMutablePointer<Shard> { chunk.shard }

    /// Sleeps until another thread wakes the shard. The lock is held before and after, not meanwhile.
    func wait() { shard.wait() }

    /// Wakes all threads that sleep at the shard.
    func wakeAll() { shard.wakeAll() }

    /// Whether all of `pages` lie in the chunk.
    func contains(_ pages: Range<UInt64>) -> Bool { chunk.pages.contains(pages) }

    /// Whether `page` lies in the chunk.
    func contains(_ page: UInt64) -> Bool { chunk.pages.contains(page) }
}
