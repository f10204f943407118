import CLibLZ4
import Glibc
import Paging

/// Base pages, compressed with liblz4 at its default speed, as a second tier of memory would have them.
enum LZ4 {
    /// The maximum that is worth keeping of a compressed base page, bytes: three quarters.
    static let maxSize = BasePage.size * 3 / 4

    /// Compresses a base page.
    /// - Parameter target: Room for `maxSize` bytes.
    /// - Returns: How many bytes it takes; nil if they are more than `maxSize`.
    static func compress(_ page: UnsafeRawPointer, into target: UnsafeMutableRawPointer) -> Int? {
        let size = LZ4_compress_default(
            page.assumingMemoryBound(to: CChar.self), target.assumingMemoryBound(to: CChar.self),
            Int32(BasePage.size), Int32(maxSize))
        return size > 0 ? Int(size) : nil
    }

    /// Brings back what `compress` has made of a base page.
    static func decompress(_ source: UnsafeRawPointer, count: Int, into page: UnsafeMutableRawPointer) {
        let size = LZ4_decompress_safe(
            source.assumingMemoryBound(to: CChar.self), page.assumingMemoryBound(to: CChar.self), Int32(count),
            Int32(BasePage.size))
        precondition(size == Int32(BasePage.size), "what has been compressed comes back")
    }
}
