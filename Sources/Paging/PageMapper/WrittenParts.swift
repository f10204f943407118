import Synchronization

/// Which parts of base pages have lately been written around the Memory, of all images.
///
/// A part that is written a second time will be written again, and a page whose parts are written one by one has more
/// of them to come: then it pays to have the page in memory. Two parts that make a whole page are the end of one
/// request of a sequential writer and the beginning of the next one. They say nothing.
///
/// A table of as many entries as half the frames, one for each of the pages that share it: 24 bits that tell pages
/// apart, and one bit for each eighth of the page. A page takes the entry of another one. So an entry lasts, on
/// average, for as many parts as there are entries, which is as long as a ghost of the PageQueue.
///
/// It is a hint: a wrong answer costs a read too many, or a write. If a page cannot be filled, it is not asked. Thread
/// rules: any thread, without a lock. O(1).
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

    /// Whether `part` of the base page of `key` goes around the Memory, as far as is known: no part of the page has
    /// been written, or just what `part` leaves out. Bytes from the page's beginning.
    func isWorthWritingAround(_ part: Range<Int64>, of key: PageKey) -> Bool {
        let known = look(for: key).known
        return known == 0 || known ^ WrittenParts.eighths(of: part) == 0xFF
    }

    /// `part` of the base page of `key` has been written around the Memory.
    func note(_ part: Range<Int64>, of key: PageKey) {
        let (entry, tag, known) = look(for: key)
        entry.pointee.store(tag | known | WrittenParts.eighths(of: part), ordering: .relaxed)
    }

    /// The entry of a page, what tells the page apart there, and the eighths of it that are known to be written.
    private func look(
        for key: PageKey
    ) -> (entry: UnsafeMutablePointer<Synchronization.Atomic<UInt32>>, tag: UInt32, known: UInt32) {
        let hash = key.raw &* 0x9E37_79B9_7F4A_7C15
        let entry = entries + Int((hash &>> 32 &* count) &>> 32)
        let tag = UInt32(truncatingIfNeeded: hash) & ~0xFF
        let word = entry.pointee.load(ordering: .relaxed)
        return (entry, tag, word & ~0xFF == tag ? word & 0xFF : 0)
    }

    /// One bit for each eighth of a page that `part` touches.
    private static func eighths(of part: Range<Int64>) -> UInt32 {
        assert(!part.isEmpty && part.lowerBound >= 0 && part.upperBound <= BasePage.size, "a part of a page")
        let (first, last) = (part.lowerBound / eighth, (part.upperBound - 1) / eighth)
        return (1 << UInt32(last + 1) - 1) & ~(1 << UInt32(first) - 1)
    }
}
