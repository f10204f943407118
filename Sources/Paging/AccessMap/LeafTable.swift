import Glibc

/// The leaves of all images, and which of them are free: pointers into the Memory, cheap to copy.
///
/// A leaf has a home, which its key names, and lives there if the home is free. So a look-up can prefetch the leaf
/// before it has read the bucket that leads to it. Two cache misses become one. If the home is taken, any other place
/// serves.
///
/// Thread rules: `take` and `give` from any thread, under an innermost lock. The leaf itself is under its chunk's lock.
/// Both are O(log₆₄ leaves).
struct LeafTable: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Leaf>
    private let count: Int
    private let lock: Lock
    private let free: BitTree

    init(_ memory: borrowing Memory) {
        base = memory.metadata.leaves
        count = memory.metadata.frames
        lock = Lock(in: memory.metadata.mutex(.leaves))
        // Leaf 0 is no leaf.
        free = BitTree(capacity: count + 1, words: memory.metadata.freeLeaves)
        for leaf in 1...count { free.insert(leaf) }
    }

    @inline(__always)
    subscript(id: LeafID) -> UnsafeMutablePointer<Leaf> { base + Int(id.raw) }

    /// Where leaf `id` has the link to the next leaf of its bucket.
    func link(after id: LeafID) -> UnsafeMutablePointer<LeafID> {
        UnsafeMutableRawPointer(self[id])
            .advanced(by: MemoryLayout<Leaf>.offset(of: \.next)!)
            .assumingMemoryBound(to: LeafID.self)
    }

    /// The number of the leaf at `leaf`.
    @inline(__always)
    func id(of leaf: UnsafeMutablePointer<Leaf>) -> LeafID { LeafID(raw: UInt32(leaf - base)) }

    /// The home of leaf number `index` of the chunk with this hash. Leaves of a chunk follow one another.
    @inline(__always)
    func home(chunk hash: UInt64, _ index: UInt64) -> LeafID {
        let spread = hash.multipliedFullWidth(by: UInt64(count)).high
        let slot = spread &+ index
        return LeafID(raw: UInt32(truncatingIfNeeded: slot < UInt64(count) ? slot &+ 1 : slot &+ 1 &- UInt64(count)))
    }

    /// A free leaf, made empty for `key`: `home` if that is free. There always is one, because there are as many leaves
    /// as frames, and each leaf in use covers at least one frame.
    func take(key: UInt64, home: LeafID) -> LeafID {
        lock.lock()
        defer { lock.unlock() }
        let member = free.contains(Int(home.raw)) ? Int(home.raw) : free.first!
        free.remove(member)
        let id = LeafID(raw: UInt32(member))
        self[id].initialize(to: Leaf(key: key))
        return id
    }

    /// Takes an empty leaf back.
    func give(_ id: LeafID) {
        lock.lock()
        defer { lock.unlock() }
        free.insert(Int(id.raw))
    }

    /// Leaves in use. A snapshot. O(leaves / 64); for checks.
    var used: Int { lock.withLock { count - free.count } }
}
