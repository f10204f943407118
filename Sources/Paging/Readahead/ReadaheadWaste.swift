import Synchronization

/// Base pages that were read ahead and recycled before anybody used them, of each image: they make its Readahead ask
/// for less.
///
/// A thread that recycles a page may work for another image and knows only this one's number. So the counters lie in
/// the Memory, one an image.
///
/// Thread rules: any thread, without a lock. O(1).
struct ReadaheadWaste: @unchecked Sendable {
    private let pages: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ metadata: borrowing Metadata) { pages = metadata.readaheadWaste }

    /// The number is a new image's.
    func prepare(image: UInt16) { (pages + Int(image)).initialize(to: Atomic(0)) }

    /// `count` base pages of the image were read ahead in vain.
    func count(_ count: UInt64, ofImage image: UInt16) {
        pages[Int(image)].wrappingAdd(count, ordering: .relaxed)
    }

    /// Base pages of the image that were read ahead in vain since the last call.
    func take(ofImage image: UInt16) -> UInt64 {
        pages[Int(image)].load(ordering: .relaxed) == 0 ? 0 : pages[Int(image)].exchange(0, ordering: .relaxed)
    }
}
