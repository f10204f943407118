import Glibc
import Paging
import Synchronization

/// A backing with small blocks. A thread that touches a block which has been given back dies of it. It can refuse to
/// take blocks and to give them.
final class GuardedBacking: MemoryBacking {
    let blockBytes: Int
    /// The errno values that calls fail with, or 0.
    let releaseError = Atomic<Int32>(0)
    let allocateError = Atomic<Int32>(0)
    /// Calls that succeeded.
    let releases = Tally()
    let allocations = Tally()

    init(blockBytes: Int) { self.blockBytes = blockBytes }

    func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        let code = releaseError.load(ordering: .relaxed)
        guard code == 0 else { throw AccessError(code) }
        precondition(block.count == blockBytes && Int(bitPattern: block.baseAddress!) % blockBytes == 0)
        // What it held is gone, whether it is the process's own or shared.
        memset(block.baseAddress!, 0xDD, block.count)
        precondition(mprotect(block.baseAddress!, block.count, PROT_NONE) == 0)
        releases.add()
    }

    func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        let code = allocateError.load(ordering: .relaxed)
        guard code == 0 else { throw AccessError(code) }
        precondition(mprotect(block.baseAddress!, block.count, PROT_READ | PROT_WRITE) == 0)
        allocations.add()
    }
}
