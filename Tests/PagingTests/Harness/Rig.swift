@testable import Paging

/// A rig with an image in which every byte is known.
typealias Rig = PagingRig<MemoryImage>

extension PagingRig where Image == MemoryImage {
    /// Reads `count` bytes at `offset`. True if they are the image's.
    func reads(_ count: Int, at offset: Int64) throws -> Bool {
        let scratch = TestBuffer(max(1, count))
        let buffer = scratch.buffer(count, skew: 1)
        try pager.read(into: buffer, at: offset)
        return scratch.holds(buffer, image.pattern, at: offset)
    }
}
