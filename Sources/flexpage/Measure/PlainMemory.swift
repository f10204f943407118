import Glibc

/// Memory to copy from.
final class PlainMemory: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer

    init(bytes: Int) {
        memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        madvise(memory, bytes, MADV_HUGEPAGE)
        memset(memory, 1, bytes)
    }

    func copy(page: Int, to buffer: UnsafeMutableRawPointer) {
        memcpy(buffer, memory + page << 12, 4096)
    }
}
