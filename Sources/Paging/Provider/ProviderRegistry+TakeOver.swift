/// What another server has left of images (`KeptState`) becomes theirs again.
extension ProviderRegistry {
    /// An image that has been taken over.
    public struct TakenOver: Sendable {
        /// The caller is its user, unless it rests.
        public let provider: Provider
        /// The number of its record.
        public let number: Int
        public let isResting: Bool
        /// Base pages that the other server owed to the image. They are dirty.
        public let owedPages: Int
    }

    /// Takes over what another server has left. Called once, before anything else.
    /// - Parameter kept: What `pages` were made with.
    /// - Parameter accessor: The image of a record, and whether it rests, so that nothing is owed to it. Nil if its
    ///   pages are to be dropped; what is owed of them is lost then.
    /// - Returns: The images.
    public func takeOver(
        _ kept: KeptState, _ accessor: (_ number: Int) -> (image: any Accessor, isResting: Bool)?
    ) -> [TakenOver] {
        kept.undoWrites()
        var providers: [Provider?] = Array(repeating: nil, count: kept.imageCount)
        var resting: Set<Int> = []
        for (number, _) in kept.imagesInUse {
            guard let (image, isResting) = accessor(number) else { continue }
            providers[number] = enter(image, UInt16(number), isResting: isResting)
            if isResting { resting.insert(number) }
        }
        var takeOver = TakeOver(pages, kept, providers)
        takeOver.run()
        for number in 0..<kept.imageCount where providers[number] == nil { kept.image(number).end() }
        pages.waiters.wake()
        return providers.enumerated().compactMap { number, provider in
            provider.map {
                TakenOver(
                    provider: $0, number: number, isResting: resting.contains(number), owedPages: takeOver.owed[number])
            }
        }
    }
}
