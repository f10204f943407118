import CLinux
import Glibc
import Paging
import SystemPackage

/// Blocks of the frames become holes of the file, and are allocated again.
///
/// A hole holds nothing: the words of its frames are empty before it is made. The next server allocates the holes that
/// it finds, before it touches anything. A hole that is touched while the filesystem is full would be a SIGBUS.
extension StateFile: MemoryBacking {
    /// A huge page, or as much as the file's pages have: hugetlbfs gives back whole pages only.
    public var blockBytes: Int { max(unit, StateFile.hugePage) }

    public func release(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        try calling { linux_punch_hole(number, offset(of: block), Int64(block.count)) }
    }

    public func allocate(_ block: UnsafeMutableRawBufferPointer) throws(AccessError) {
        // By way of the mapping first, so that it is a huge page again if it can be one (`populateWithHugePages`).
        if unit < StateFile.hugePage,
            madvise(block.baseAddress!, BasePage.size, StateFile.populateWrite) == 0
        {
            _ = madvise(block.baseAddress!, block.count, StateFile.collapse)
        }
        do throws(AccessError) {
            try calling { linux_allocate(number, offset(of: block), Int64(block.count)) }
        } catch {
            // What there was room for.
            _ = linux_punch_hole(number, offset(of: block), Int64(block.count))
            throw error
        }
    }

    /// Where a block lies in the file.
    private func offset(of block: UnsafeMutableRawBufferPointer) -> Int64 {
        guard let mapping, let base = mapping.baseAddress else { preconditionFailure("the state is mapped") }
        let offset = block.baseAddress! - base
        precondition(offset >= 0 && offset + block.count <= mapping.count, "a block lies in the file")
        return Int64(offset)
    }

    private func calling(_ call: () -> Int32) throws(AccessError) {
        while true {
            let answer = call()
            if answer >= 0 { return }
            if answer != -EINTR { throw AccessError(-answer) }
        }
    }
}
