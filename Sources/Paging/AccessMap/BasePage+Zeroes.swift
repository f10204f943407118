import Glibc

extension BasePage {
    /// Whether the base page at `page` is all zeroes.
    @inline(__always)
    static func isZero(_ page: UnsafeRawPointer) -> Bool {
        // What is equal to itself a word further on is one word over and over.
        page.load(as: UInt64.self) == 0 && memcmp(page, page + 8, size - 8) == 0
    }
}
