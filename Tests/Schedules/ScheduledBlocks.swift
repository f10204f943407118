import Glibc
import Paging

/// Blocks of a few frames, for a memory of a few blocks. What a block held is gone once it has been given back.
struct ScheduledBlocks: MemoryBacking {
    let blockBytes: Int

    func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        memset(block.baseAddress!, 0xDD, block.count)
    }

    func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        for word in stride(from: 0, to: block.count, by: 8) {
            let found = block.load(fromByteOffset: word, as: UInt64.self)
            precondition(found == 0xDDDD_DDDD_DDDD_DDDD, "a block has been changed that was given back")
        }
    }
}
