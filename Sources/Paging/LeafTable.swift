import Glibc

/// The leaves of all images, and the list of those that are free: pointers into the Memory, cheap to copy.
///
/// Thread rules: `take` and `give` from any thread, under a lock of their own that is a leaf of the lock order. The
/// leaf itself belongs to whoever holds its chunk's lock.
struct LeafTable: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Leaf>
    private let lock: Lock
    private let state: UnsafeMutablePointer<State>

    private struct State {
        var free: LeafID = .none
        /// Leaves from this one on have never been used.
        var fresh: UInt32 = 1
        var used: Int = 0
    }

    init(_ memory: borrowing Memory) {
        base = memory.metadata.leaves
        lock = Lock(in: memory.metadata.mutexes + 1)
        // Leaf 0 is no leaf: its place is where the state lies.
        state = UnsafeMutableRawPointer(base).bindMemory(to: State.self, capacity: 1)
        state.initialize(to: State())
    }

    @inline(__always)
    subscript(id: LeafID) -> UnsafeMutablePointer<Leaf> { base + Int(id.raw) }

    /// The number of the leaf at `leaf`.
    @inline(__always)
    func id(of leaf: UnsafeMutablePointer<Leaf>) -> LeafID { LeafID(raw: UInt32(leaf - base)) }

    /// A free leaf, made empty for `key`. There always is one: there are as many as frames, and each leaf in use covers
    /// a frame at least.
    func take(key: UInt64) -> LeafID {
        lock.lock()
        defer { lock.unlock() }
        let id: LeafID
        if state.pointee.free != .none {
            id = state.pointee.free
            state.pointee.free = self[id].pointee.next
        } else {
            id = LeafID(raw: state.pointee.fresh)
            state.pointee.fresh += 1
        }
        state.pointee.used += 1
        self[id].initialize(to: Leaf(key: key))
        return id
    }

    /// Takes an empty leaf back.
    func give(_ id: LeafID) {
        lock.lock()
        defer { lock.unlock() }
        self[id].pointee.next = state.pointee.free
        state.pointee.free = id
        state.pointee.used -= 1
    }

    /// Leaves in use. A snapshot.
    var used: Int { lock.withLock { state.pointee.used } }
}
