import Synchronization

/// Which parts of base pages have lately been written around the Memory, of all images.
///
/// A part that is written a second time will be written again: then it pays to have its page in memory. A part beside
/// one that was written before is the next one of a sequential writer, and says nothing.
///
/// A table of as many entries as half the frames, one for each of the pages that share it: 24 bits that tell pages
/// apart, and one bit for each eighth of the page. A page takes the entry of another one. So an entry lasts, on
/// average, for as many parts as there are entries, which is as long as a ghost of the PageQueue.
///
/// It is a hint: a wrong answer costs a read too many, or a write. Thread rules: any thread, without a lock. O(1).
struct WrittenParts: @unchecked Sendable {
    // No protocol depends on them, so a Scheduler draws no order here.
    private let entries: UnsafeMutablePointer<Synchronization.Atomic<UInt32>>
    private let count: UInt64

    private static let eighth = Int64(BasePage.size / 8)

    /// The number of entries for this number of frames.
    static func count(frames: Int) -> Int { max(1, frames / 2) }

    init(_ metadata: borrowing Metadata) {
        entries = metadata.writtenParts
        count = UInt64(metadata.writtenPartCount)
    }

    /// Notes that `part` of the base page of `key` is about to be written, bytes from the page's beginning.
    /// - Returns: Whether any of it was written before, as far as is known.
    @discardableResult
    func note(_ part: Range<Int64>, of key: PageKey) -> Bool {
        let (entry, tag) = place(of: key)
        let eighths = WrittenParts.eighths(of: part)
        let known = WrittenParts.known(entry, tag)
        entry.pointee.store(tag | known | eighths, ordering: .relaxed)
        return known & eighths != 0
    }

    /// Whether any of `part` of the base page of `key` was written before, as far as is known. Notes nothing.
    func knows(_ part: Range<Int64>, of key: PageKey) -> Bool {
        let (entry, tag) = place(of: key)
        return WrittenParts.known(entry, tag) & WrittenParts.eighths(of: part) != 0
    }

    private typealias Entry = UnsafeMutablePointer<Synchronization.Atomic<UInt32>>

    /// The entry of a page, and what tells the page apart there.
    private func place(of key: PageKey) -> (Entry, tag: UInt32) {
        let hash = key.raw &* 0x9E37_79B9_7F4A_7C15
        return (entries + Int((hash &>> 32 &* count) &>> 32), UInt32(truncatingIfNeeded: hash) & ~0xFF)
    }

    /// The eighths that `entry` has of the page that `tag` tells apart.
    private static func known(_ entry: Entry, _ tag: UInt32) -> UInt32 {
        let value = entry.pointee.load(ordering: .relaxed)
        return value & ~0xFF == tag ? value & 0xFF : 0
    }

    /// One bit for each eighth of a page that `part` touches.
    private static func eighths(of part: Range<Int64>) -> UInt32 {
        assert(!part.isEmpty && part.lowerBound >= 0 && part.upperBound <= BasePage.size, "a part of a page")
        let (first, last) = (part.lowerBound / eighth, (part.upperBound - 1) / eighth)
        return (1 << UInt32(last + 1) - 1) & ~(1 << UInt32(first) - 1)
    }
}
