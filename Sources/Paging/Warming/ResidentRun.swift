/// Base pages of an image that follow one another and are, or were, in memory, and how warm they are.
///
/// Warmth is what the PageQueue knows of a page, in four bits. A warmer page is recycled later:
///
/// | bits | meaning |
/// |---|---|
/// | 3 | it is in main, not in probation |
/// | 2, 1 | hits that the queue has not counted yet, 0 to 3 |
/// | 0 | it is in the newer half of its queue |
public struct ResidentRun: Sendable, Equatable {
    public static let maxWarmth: UInt8 = 15

    /// The numbers of the pages, in units of `BasePage.size` bytes.
    public let pages: Range<UInt64>
    public let warmth: UInt8

    /// - Precondition: `warmth` is at most `maxWarmth`.
    public init(_ pages: Range<UInt64>, warmth: UInt8) {
        precondition(warmth <= ResidentRun.maxWarmth, "warmth has four bits")
        self.pages = pages
        self.warmth = warmth
    }

    static func warmth(of name: PageQueue.Name, hits: UInt32, isNewer: Bool) -> UInt8 {
        (name == .main ? 8 : 0) | UInt8(hits) << 1 | (isNewer ? 1 : 0)
    }

    /// The queue that a page of this warmth belongs on.
    static func queue(ofWarmth warmth: UInt8) -> PageQueue.Name { warmth & 8 != 0 ? .main : .probation }

    /// The hits that the queue has still to count for a page of this warmth.
    static func hits(ofWarmth warmth: UInt8) -> UInt32 { UInt32(warmth >> 1 & 3) }
}
