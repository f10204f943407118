/// What is queued, frame by frame: what can be moved, and what is dirty when memory is short. What is found may have
/// changed by the time that the lock has been given up.
extension PageQueue {
    /// A flexpage that is queued, or was a moment ago.
    struct Queued {
        let key: PageKey
        let region: Region
    }

    /// The queued flexpage whose first frame is `frame`, or nil if there is none.
    func flexpage(at frame: FlexpageID) -> Queued? {
        lock.lock()
        defer { lock.unlock() }
        guard table[frame].pointee.queue != .none else { return nil }
        return Queued(key: table[frame].pointee.key, region: table.region(of: frame))
    }

    /// How many frames of `block` belong to queued flexpages that could be moved now. A snapshot; O(frames of it).
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

    /// The first flexpage from `frame` on that has several base pages, is dirty, and that no client has; nil if there
    /// is none before `end`. `frame` becomes the frame after it. A snapshot.
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
                guard region.order > 0, isDirtyAndIdleLocked(id) else { continue }
                return Queued(key: table[id].pointee.key, region: region)
            }
            return nil
        }
    }

    /// Whether all of `frames` but `withheld` are in flexpages that are dirty and that no client has. Then there is no
    /// memory until something has been written out. A snapshot. O(frames).
    func isAllDirtyAndIdle(_ frames: Range<FlexpageID>, but withheld: Int = 0) -> Bool {
        lock.withLock {
            var others = 0
            var frame = frames.lowerBound
            while frame < frames.upperBound {
                if table[frame].pointee.queue != .none {
                    guard isDirtyAndIdleLocked(frame) else { return false }
                    frame = table.region(of: frame).end
                } else {
                    others += 1
                    guard others <= withheld else { return false }
                    frame += 1
                }
            }
            return true
        }
    }

    private func isDirtyAndIdleLocked(_ id: FlexpageID) -> Bool {
        lock.assertHeld()
        let word = table.state(of: id)
        return word.has(PageState.dirty) && word.isLendableExclusively
    }
}
