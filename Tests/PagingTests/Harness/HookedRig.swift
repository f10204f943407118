@testable import Paging

/// A rig with an image that asks its test before it does anything.
typealias HookedRig = PagingRig<HookedImage>

extension PagingRig where Image == HookedImage {
    /// True if base page `page`, read as a client does, has the bytes of `pattern`.
    func holds(_ pattern: Pattern, _ page: UInt64) throws -> Bool {
        let scratch = TestBuffer(BasePage.size)
        let buffer = scratch.buffer(BasePage.size)
        try pager.read(into: buffer, at: BasePage.offset(of: page))
        return scratch.holds(buffer, pattern, at: BasePage.offset(of: page))
    }

    /// Writes the bytes of `pattern` to base page `page`, as a client does.
    func write(_ pattern: Pattern, _ page: UInt64) throws {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: BasePage.size, alignment: 64)
        defer { bytes.deallocate() }
        pattern.copy(to: bytes, at: BasePage.offset(of: page))
        try pager.write(from: UnsafeRawBufferPointer(bytes), at: BasePage.offset(of: page), forced: false)
    }
}
