import CLinux

/// 1 MiB of zeroes to write from, page-aligned. Every page of it is the kernel's one zero page: it takes addresses and
/// no memory. Made once for each image, when it is opened, so that writing zeroes allocates nothing.
struct ZeroBytes: ~Copyable, @unchecked Sendable {
    /// Bytes.
    static let count = 1 << 20

    let base: UnsafeRawPointer

    /// Nil if the kernel gives no addresses.
    init?() {
        guard let base = linux_map_zeroes(Self.count) else { return nil }
        self.base = base
    }

    deinit { linux_unmap(base, Self.count) }
}
