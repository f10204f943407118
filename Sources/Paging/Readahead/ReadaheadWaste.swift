import Synchronization

/// Base pages that were read ahead and recycled before anybody used them, of each image: its Readahead ends the stream
/// that they were read for, and remembers where they were.
///
/// A thread that recycles a page may work for another image and knows only this one's number. So the counters lie in
/// the Memory, one an image. Each is one word: how many pages there are since the last look, and where the latest of
/// them begin. What is recycled between two looks is mostly one window, so the latest place stands for all.
///
/// Thread rules: any thread, without a lock. O(1).
struct ReadaheadWaste: @unchecked Sendable {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// What has been read ahead in vain since the last look.
    struct Unused: Equatable {
        /// Base pages.
        var count: UInt64 = 0
        /// Where the latest of them begin.
        var page: UInt64 = 0

        static let none = Unused()
    }

    /// The number of a page takes 52 bits of a word, which is enough for the last page of 2⁶³ bytes. The count takes
    /// the others, and stays at its maximum.
    private static let pageBits: UInt64 = 52
    private static let pageMask: UInt64 = 1 << pageBits - 1
    private static let maxCount: UInt64 = 1 << (64 - pageBits) - 1

    init(_ metadata: borrowing Metadata) { words = metadata.readaheadWaste }

    /// The number is a new image's.
    func prepare(image: UInt16) { (words + Int(image)).zeroWords() }

    /// `pages` of the image were read ahead in vain.
    func count(_ pages: Range<UInt64>, ofImage image: UInt16) {
        assert(pages.lowerBound <= ReadaheadWaste.pageMask, "an image has fewer than 2⁶³ bytes")
        let word = words + Int(image)
        var before = word.pointee.load(ordering: .relaxed)
        while true {
            let count = min(before >> ReadaheadWaste.pageBits + UInt64(pages.count), ReadaheadWaste.maxCount)
            let after = count << ReadaheadWaste.pageBits | pages.lowerBound
            let (exchanged, original) = word.pointee.weakCompareExchange(
                expected: before, desired: after, ordering: .relaxed)
            if exchanged { return }
            before = original
        }
    }

    /// What has been read ahead of the image in vain since the last call.
    func take(ofImage image: UInt16) -> Unused {
        guard words[Int(image)].load(ordering: .relaxed) != 0 else { return .none }
        let word = words[Int(image)].exchange(0, ordering: .relaxed)
        return Unused(count: word >> ReadaheadWaste.pageBits, page: word & ReadaheadWaste.pageMask)
    }
}
