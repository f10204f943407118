/// What of the Memory is dirty, where it is short: looked for frame by frame, under the queue's lock.
extension PageQueue {
    /// The first flexpage of several base pages that is dirty, and that nobody has, from `frame` on, which is past it
    /// then. A snapshot; nil where there is none before `end`.
    func dirtyFlexpage(from frame: inout FlexpageID, upTo end: FlexpageID) -> Queued? {
        lock.withLock {
            while frame < end {
                let id = frame
                guard table[id].pointee.queue != .none else {
                    frame += 1
                    continue
                }
                let region = table.region(of: id)
                frame = region.end
                if region.order > 0, isDirtyAndIdle(id) { return Queued(key: table[id].pointee.key, region: region) }
            }
            return nil
        }
    }

    /// Whether all of `frames` are in flexpages that are dirty and that nobody has: then no memory will be had before
    /// something has been written out. A snapshot. O(frames).
    func isAllDirtyAndIdle(_ frames: Range<FlexpageID>) -> Bool {
        lock.withLock {
            var frame = frames.lowerBound
            while frame < frames.upperBound {
                guard table[frame].pointee.queue != .none, isDirtyAndIdle(frame) else { return false }
                frame = table.region(of: frame).end
            }
            return true
        }
    }

    private func isDirtyAndIdle(_ id: FlexpageID) -> Bool {
        let word = PageState(table.word(id).pointee.state.load(ordering: .acquiring))
        return word.has(PageState.dirty) && word.isLendableExclusively
    }
}
