/// What a Miniature has to know of the images whose queue it imitates.
extension PageQueue {
    /// What is reserved for an image, as far as its owner or its users decide about it.
    struct Wish {
        /// Changes when the number becomes another image's.
        var generation = UInt32.max
        var wanted = Holding.byDefault
        var isActive = false
        /// Whether it is another one than before the last call of `updateWishes`.
        var hasChanged = false
        /// Whether the number has become another image's since.
        var isNewImage = false
    }

    /// Compares `wishes`, one an image, with the present, and makes them the present ones. O(images).
    /// - Returns: Whether any has changed.
    func updateWishes(_ wishes: UnsafeMutablePointer<Wish>) -> Bool {
        lock.withLock {
            var hasChanged = false
            for image in 0..<imageCount {
                let (wanted, isActive) = state.pointee.shares.wish(of: UInt16(image))
                let generation = images[image].generation
                let before = wishes[image]
                let isNewImage = before.generation != generation
                let isOther = isNewImage || before.wanted != wanted || before.isActive != isActive
                wishes[image] = Wish(
                    generation: generation, wanted: wanted, isActive: isActive, hasChanged: isOther,
                    isNewImage: isNewImage)
                hasChanged = hasChanged || isOther
            }
            return hasChanged
        }
    }
}
