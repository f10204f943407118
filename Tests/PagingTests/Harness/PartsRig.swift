import Testing

@testable import Paging

/// A rig with an image that is written in parts.
typealias PartsRig = PagingRig<PartsImage>

extension PagingRig where Image == PartsImage {
    /// The bytes of `range`, read as a client does.
    func bytes(_ range: Range<Int64>) throws -> [UInt8] {
        let scratch = TestBuffer(range.count)
        let buffer = scratch.buffer(range.count)
        try pager.read(into: buffer, at: range.lowerBound)
        return Array(buffer)
    }

    /// Writes `bytes` at `offset`, as a client does.
    func write(_ bytes: [UInt8], at offset: Int64, forced: Bool = false) throws {
        try bytes.withUnsafeBytes { try pager.write(from: $0, at: offset, forced: forced) }
    }

    /// True if the image is as it was at first, but for `written`, to a client: from what is in memory, and when
    /// nothing is. And if it has as much of its own after a flush.
    func holds(_ written: [(offset: Int64, bytes: [UInt8])]) throws -> Bool {
        var wanted = [UInt8](repeating: 0xEE, count: Int(image.size))
        for (offset, bytes) in written {
            wanted.replaceSubrange(Int(offset)..<Int(offset) + bytes.count, with: bytes)
        }
        guard try bytes(0..<image.size) == wanted else { return false }
        try pager.flush()
        recycleAll()
        return try image.bytes(0..<image.size) == wanted && bytes(0..<image.size) == wanted
    }

    /// The base pages that are resident.
    var resident: [UInt64] { BasePage.numbers(covering: 0..<image.size).filter { flexpage(at: $0) != nil } }
}
