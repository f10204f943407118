/// A chunk of an image and its hash, which is computed once for all that a request does in the chunk. The hash names
/// the shard whose lock serves the chunk, and the buckets of its leaves.
///
/// Whatever the AccessMap says of a chunk, it says to a caller that holds the lock: `lock` returns the LockedChunk that
/// its functions ask for. Three words, cheap to copy.
struct HashedChunk {
    /// The first base page of the chunk.
    let firstPage: UInt64
    /// Well mixed: its low bits are the number of the shard.
    let hash: UInt64
    let shard: UnsafeMutablePointer<Shard>

    /// The base pages of the chunk.
    @inline(__always)
    var pages: Range<UInt64> { firstPage..<firstPage &+ UInt64(Chunk.pages) }

    /// The number of its shard.
    @inline(__always)
    var shardIndex: Int { Int(truncatingIfNeeded: hash & UInt64(AccessMap.shardCount - 1)) }

    /// Takes the lock of its shard.
    @inline(__always)
    func lock() -> LockedChunk {
        shard.lock()
        return LockedChunk(assumingLockOf: self)
    }

    /// Calls `body` with the lock held.
    @inline(__always)
    func withLock<Result: ~Copyable>(_ body: (borrowing LockedChunk) -> Result) -> Result {
        let locked = lock()
        let result = body(locked)
        locked.unlock()
        return result
    }

    /// Calls `body` for a caller that already holds the lock of the chunk's shard.
    @inline(__always)
    func assumingLocked<Result: ~Copyable>(_ body: (borrowing LockedChunk) -> Result) -> Result {
        let locked = LockedChunk(assumingLockOf: self)
        let result = body(locked)
        locked.leaveLocked()
        return result
    }
}
