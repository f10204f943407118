import Glibc

/// Compaction: what lies around a free Region is moved elsewhere, so that it becomes as large as is wanted.
///
/// After random reads the pages that are kept lie between those that are recycled, a few in every megabyte, and without
/// compaction a sequential reader would get its memory frame by frame for as long as they stay. Moving costs no page
/// its place: whatever its hits, it keeps them and its turn in the PageQueue. So large Regions cost no warm page, and
/// the order of recycling is the queue's alone.
///
/// Moved is what nobody has at the time: a flexpage without pins that is not going out. Where anything else lies in the
/// block, or memory for what must be moved is in smaller pieces still, the next smaller block is tried, and in the end
/// the Region is taken as it is. Nothing is waited for.
///
/// Whoever compacts has a free Region of the block in hand, and takes all others in it before it begins; of two who
/// want the same block, one lacks what the other has, and lets go.
///
/// Costs: up to 255 base pages copied for a Region of 1 MiB, each under the lock of its chunk. They lie together
/// afterwards, so it is seldom done twice.
extension Pages {
    /// Smaller Regions are not worth moving anything for: 64 KiB.
    private static let minCompacted: UInt8 = 4
    /// Larger flexpages are not moved, because their chunk is locked meanwhile: 64 KiB.
    static let maxMoved: UInt8 = 4

    /// The caller's free Region, or a larger one around it, of `order` at the most. O(frames of it), each moved at the
    /// most once.
    func widened(_ region: Region, upTo order: Int) -> Region {
        var block = Region(first: region.first & ~(1 << UInt32(order) - 1), order: UInt8(order))
        while block.order > region.order, block.order >= Pages.minCompacted {
            if clear(block, around: region) { return block }
            block = block.lowerHalf.contains(region) ? block.lowerHalf : block.upperHalf
        }
        return region
    }

    /// Has all of `block` become the caller's, whose `region` is part of it.
    /// - Returns: False where it cannot be had now; `region` alone is the caller's then, as before.
    private func clear(_ block: Region, around region: Region) -> Bool {
        guard Int(block.first) + block.frames <= frames else { return false }
        let others = region.frames + memory.freeFrames(in: block)
        guard queue.movableFrames(in: block) + others == block.frames else { return false }
        var taken = FrameSet(region)
        memory.takeFree(in: block, addingTo: &taken)
        var frame = block.first
        while frame < block.end {
            if taken.contains(frame) {
                frame += 1
            } else if let moved = queue.flexpage(at: frame), moved.region.order <= Pages.maxMoved, move(moved) {
                taken.insert(moved.region)
            } else {
                // It has been taken into use since, or dropped; or there is no room for it.
                break
            }
        }
        if frame == block.end { return true }
        giveBack(taken, in: block, but: region)
        return false
    }

    private func giveBack(_ taken: FrameSet, in block: Region, but region: Region) {
        for frame in block.first..<block.end where taken.contains(frame) && !region.contains(frame) {
            memory.give(Region(first: frame, order: 0))
        }
        waiters.wake()
    }

    /// Moves a flexpage, if nobody has it, to another Region of the same order; its own is the caller's then.
    private func move(_ flexpage: PageQueue.Queued) -> Bool {
        guard let target = memory.take(order: Int(flexpage.region.order)) else { return false }
        let map = accessMap(ofImage: flexpage.key.image)
        let shard = map.shard(of: flexpage.key.page)
        shard.lock()
        let isMoved = move(flexpage, to: target, map)
        if isMoved { shard.pointee.moves += UInt64(target.frames) }
        shard.unlock()
        if !isMoved { give(target) }
        return isMoved
    }

    /// The same, with the shard's lock held: so nobody comes to it, and what is copied stays as it is.
    private func move(_ flexpage: PageQueue.Queued, to target: Region, _ map: AccessMap) -> Bool {
        let id = flexpage.region.first
        guard map.flexpage(at: flexpage.key.page) == id, table.region(of: id) == flexpage.region,
            PageState(table.word(id).pointee.state.load(ordering: .acquiring)).isMovable
        else { return false }
        memcpy(table.memory(of: target.first), table.memory(of: id), target.frames * BasePage.size)
        let isReplaced = queue.replace(id, count: 1) { _ in
            // Under the queue's lock, because it takes hits back.
            let state = table.word(id).pointee.state.load(ordering: .relaxed)
            return table.make(target, key: flexpage.key, state: state)
        }
        guard isReplaced else { return false }
        map.rename(target.first)
        table.badPages.move(flexpage.region, to: target)
        return true
    }
}
