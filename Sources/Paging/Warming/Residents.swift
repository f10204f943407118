/// What was in memory of an image: its runs, the warmest first, and by place where they are equally warm. Flexpages
/// that follow one another are joined when they are looked at. It takes 8 bytes a flexpage.
public struct Residents: Sequence, Sendable {
    private let flexpages: [PackedRun]

    /// - Parameter flexpages: Each with its warmth as its rank.
    init(_ flexpages: consuming [PackedRun]) {
        flexpages.sort()
        self.flexpages = flexpages
    }

    public func makeIterator() -> Iterator { Iterator(rest: flexpages[...]) }

    public struct Iterator: IteratorProtocol {
        fileprivate var rest: ArraySlice<PackedRun>

        public mutating func next() -> ResidentRun? {
            guard let first = rest.popFirst() else { return nil }
            var pages = first.pages
            // One that has moved from queue to queue meanwhile may have been seen twice.
            while let next = rest.first, next.warmth == first.warmth, next.pages.lowerBound <= pages.upperBound {
                pages = pages.lowerBound..<Swift.max(pages.upperBound, next.pages.upperBound)
                rest.removeFirst()
            }
            return ResidentRun(pages, warmth: first.warmth)
        }
    }
}
