/// What it costs to empty a block.
extension PageQueue {
    /// What it costs to empty `frames`: the less, the more of them are free, clean and cold. A snapshot; O(frames).
    /// - Parameter freeFrames: How many of them are free.
    func cost(ofEmptying frames: Range<FlexpageID>, freeFrames: Int) -> Int {
        lock.withLock {
            var (cost, queued) = (0, 0)
            var frame = frames.lowerBound
            while frame < frames.upperBound {
                guard table[frame].pointee.queue != .none else {
                    frame += 1
                    continue
                }
                let end = min(table.region(of: frame).end, frames.upperBound)
                cost += costLocked(ofMoving: frame) * Int(end - frame)
                queued += Int(end - frame)
                frame = end
            }
            // What is neither free nor queued is being read, or in the hand of a thread. (Or it belongs to a flexpage
            // that begins before the block.)
            return cost + PageQueue.costOfWaiting * max(0, frames.count - queued - freeFrames)
        }
    }

    /// As much as 16 clean and cold pages.
    private static let costOfWaiting = 16

    /// Of each frame of a flexpage.
    private func costLocked(ofMoving id: FlexpageID) -> Int {
        let word = table.state(of: id)
        guard word.isMovable else { return PageQueue.costOfWaiting }
        let isCold = word.hits == 0 && table[id].pointee.queue == .probation
        return (isCold ? 1 : 2) + (word.has(PageState.dirty) ? 2 : 0) + (word.has(PageState.unsynced) ? 1 : 0)
    }
}
