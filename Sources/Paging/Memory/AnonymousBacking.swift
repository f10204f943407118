import Glibc

/// Frames in memory that belongs to the process alone: `Memory` maps it.
///
/// The kernel makes no huge page of a block that has been given back. Otherwise it could fill the block again beside
/// pages that are in use.
struct AnonymousBacking: MemoryBacking {
    /// A huge page: smaller pieces of one would stay with the process.
    let blockBytes = 1 << 21

    /// MADV_DONTNEED_LOCKED, since Linux 5.18: `nbdkit --swap` locks all memory.
    private static let dontNeedLocked: Int32 = 24

    func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        // If the process has as many mappings as it may have, the block only lacks this advice.
        _ = madvise(block.baseAddress!, block.count, MADV_NOHUGEPAGE)
        if madvise(block.baseAddress!, block.count, MADV_DONTNEED) == 0 { return }
        if errno == EINVAL, madvise(block.baseAddress!, block.count, AnonymousBacking.dontNeedLocked) == 0 { return }
        let reason = errno
        _ = madvise(block.baseAddress!, block.count, MADV_HUGEPAGE)
        throw AccessError(reason)
    }

    func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        _ = madvise(block.baseAddress!, block.count, MADV_HUGEPAGE)
    }
}
