import Glibc

/// Memory that forks of the process share with it, all zeroes at first.
final class SharedMemory {
    let base: UnsafeMutableRawPointer
    let count: Int

    init(count: Int) {
        self.count = count
        base = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        precondition(base != MAP_FAILED, "no memory to share")
    }

    deinit { munmap(base, count) }
}
