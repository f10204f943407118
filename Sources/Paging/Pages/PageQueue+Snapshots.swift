/// Looks at what is queued, frame by frame: what can be moved, and what of the Memory is dirty, where it is short. What
/// is found may have changed by the time that the lock has been given up.
extension PageQueue {
    /// A flexpage that is queued, or was a moment ago.
    struct Queued {
        let key: PageKey
        let region: Region
    }

    /// The flexpage whose first frame is `frame`, or nil where none begins there that is queued.
    func flexpage(at frame: FlexpageID) -> Queued? {
        lock.lock()
        defer { lock.unlock() }
        guard table[frame].pointee.queue != .none else { return nil }
        return Queued(key: table[frame].pointee.key, region: table.region(of: frame))
    }

    /// How many frames of `block` are of queued flexpages that could be moved now. A snapshot; O(frames of it).
    func movableFrames(in block: Region) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var movable = 0
        var frame = block.first
        while frame < block.end {
            guard table[frame].pointee.queue != .none else {
                frame += 1
                continue
            }
            let region = table.region(of: frame)
            let word = PageState(table.word(frame).pointee.state.load(ordering: .relaxed))
            if word.isMovable, region.order <= Pages.maxMoved { movable += region.frames }
            frame = region.end
        }
        return movable
    }

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
