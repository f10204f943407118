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

    /// Makes `wishes`, one an image, the present ones, and marks those that have changed. O(images) if any has, O(1) if
    /// not.
    /// - Parameter changes: How many changes the caller knows of; 0 at first.
    /// - Returns: Whether there were more.
    func updateWishes(_ wishes: UnsafeMutablePointer<Wish>, since changes: inout UInt64) -> Bool {
        lock.withLock {
            guard changes != state.pointee.wishChanges else { return false }
            changes = state.pointee.wishChanges
            for image in 0..<imageCount { wishes[image].update(to: wishLocked(UInt16(image))) }
            return true
        }
    }

    private func wishLocked(_ image: UInt16) -> Wish {
        let (wanted, isActive) = state.pointee.shares.wish(of: image)
        return Wish(generation: images[Int(image)].generation, wanted: wanted, isActive: isActive)
    }
}

extension PageQueue.Wish {
    fileprivate mutating func update(to present: PageQueue.Wish) {
        isNewImage = generation != present.generation
        hasChanged = isNewImage || wanted != present.wanted || isActive != present.isActive
        (generation, wanted, isActive) = (present.generation, present.wanted, present.isActive)
    }
}
