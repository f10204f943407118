/// What the frames lie in. Whole blocks of it can be given to the system while the server runs, and taken back.
///
/// Thread rules: one thread at a time. Between `release` and the next `allocate` of a block no thread touches it.
public protocol MemoryBacking: Sendable {
    /// Bytes of a block, a power of two. A block is aligned to it in the address space.
    var blockBytes: Int { get }

    /// Gives the memory of a block to the system. What it holds is gone.
    /// - Throws: If that is refused: the block is as it was, or all zeroes.
    func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError)

    /// Makes a released block memory again, which may be touched. What it holds does not matter.
    /// - Throws: If there is not enough memory: the block is released as before.
    func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError)
}
