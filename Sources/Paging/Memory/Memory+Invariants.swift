/// Whether the free lists agree with each other and with the count.
extension Memory {
    /// Checks the free part of invariant 3: free Regions add up to `freeFrames`, and no two buddies are both free.
    /// O(frames). The caller excludes takes and gives if it goes on to compare `freeFrames`.
    func checkInvariants() {
        lock.lock()
        defer { lock.unlock() }
        var frames = 0
        for order in 0...Region.maxOrder {
            frames += free[order].count << order
            guard order < Region.maxOrder else { continue }
            for index in stride(from: 0, to: free[order].capacity - 1, by: 2) {
                precondition(
                    !(free[order].contains(index) && free[order].contains(index + 1)), "free buddies were not joined")
            }
        }
        precondition(frames == state.pointee.freeFrames, "free Regions must add up to the free frames")
        checkBlocksLocked()
    }
}
