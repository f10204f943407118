/// What a server has left of one image.
public struct KeptContents: Sendable {
    /// The number of the image's record.
    public let number: Int
    public let image: KeptImage
    /// Base pages that are as the image has them.
    public fileprivate(set) var clean = 0
    /// Base pages that are owed to it.
    public fileprivate(set) var owed = 0
    /// Where the last byte that is owed to it ends; 0 if nothing is.
    public fileprivate(set) var owedEnd: Int64 = 0

    /// Whether there is anything to be taken over.
    public var isAnything: Bool { clean + owed > 0 || image.isAtRisk }

    /// Whether all of it is a copy of what the image has, so that no server need look at the image before a client
    /// comes.
    public var isClean: Bool { owed == 0 && !image.isAtRisk }

    fileprivate mutating func count(_ word: KeptWord) {
        guard word.isOwed else {
            clean += 1
            return
        }
        owed += 1
        owedEnd = max(owedEnd, min(image.size, Int64(word.page + 1) * Int64(BasePage.size)))
    }
}

extension KeptState {
    /// What there is of each image that has a record, in the order of their numbers. O(frames).
    public var contents: [KeptContents] {
        var all = (0..<imageCount).map { KeptContents(number: $0, image: image($0)) }
        for frame in 0..<frames where self[frame].isLive { all[self[frame].image].count(self[frame]) }
        return all.filter { $0.image.isInUse }
    }
}
