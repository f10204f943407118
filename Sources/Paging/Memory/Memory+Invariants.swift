/// Whether what is free agrees with itself.
extension Memory {
    /// Invariant 3, the free part of it: free Regions do not overlap and add up to `freeFrames`; no two free buddies.
    /// O(frames); the caller sees to it that nobody takes or gives meanwhile if the answer is to be compared.
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
    }
}
