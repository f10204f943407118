import Glibc

extension UnsafeBufferPointer<iovec> {
    /// True if no byte of memory is in two pieces: filesystems and devices with checksums accept no other reads.
    var areDisjoint: Bool {
        let sorted = self.sorted { $0.iov_base < $1.iov_base }
        return zip(sorted, sorted.dropFirst()).allSatisfy { $0.iov_base + $0.iov_len <= $1.iov_base }
    }
}
