import Glibc

/// Compaction: the pages around a free Region are moved elsewhere, so that it becomes as large as the caller wants.
///
/// After random reads, the pages that are kept lie between those that are recycled, a few in every megabyte. Without
/// compaction a sequential reader would get its memory frame by frame for as long as they stay. A page that is moved
/// keeps its hits and its turn in the PageQueue. So large Regions cost no warm page, and the queue alone decides the
/// order of recycling.
///
/// A flexpage is moved if no thread has it at the time: it has no pins and is not going out. If anything else lies in
/// the block, or memory for the moved pages is in even smaller pieces, the next smaller block is tried. In the end the
/// Region is taken as it is. Nothing is waited for.
///
/// A thread that compacts has a free Region of the block in hand, and takes all other free Regions in it before it
/// begins. Of two threads that want the same block, one lacks what the other has, and lets go.
///
/// It copies up to 255 base pages for a Region of 1 MiB, each under the lock of its chunk. They lie together
/// afterwards, so it is seldom done twice.
extension Pages {
    /// The minimum order of a Region that pages are moved for: 64 KiB.
    private static let minCompacted: UInt8 = 4
    /// The maximum order of a flexpage that is moved, because its chunk is locked meanwhile: 64 KiB.
    static let maxMoved: UInt8 = 4

    /// The caller's free Region, or a larger one around it, of at most `order`. O(frames of it), each of which is moved
    /// at most once.
    func widened(_ region: Region, upTo order: Int) -> Region {
        var block = Region(first: region.first & ~(1 << UInt32(order) - 1), order: UInt8(order))
        while block.order > region.order, block.order >= Pages.minCompacted {
            if clear(block, around: region) { return block }
            block = block.lowerHalf.contains(region) ? block.lowerHalf : block.upperHalf
        }
        return region
    }

    /// Takes all of `block` for the caller, which has `region`, a part of it.
    /// - Returns: False if that is not possible now. The caller has `region` alone then, as before.
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
                // It has come into use since, or has been dropped; or there is no room for it.
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

    /// Moves a flexpage that no thread has to another Region of the same order. Its own becomes the caller's.
    /// - Returns: False if it has not been moved.
    private func move(_ flexpage: PageQueue.Queued) -> Bool {
        guard let target = memory.take(order: Int(flexpage.region.order)) else { return false }
        return move(flexpage, to: target)
    }

    /// The same, to the caller's `target`. If the flexpage is not moved, the target is given back.
    func move(_ flexpage: PageQueue.Queued, to target: Region) -> Bool {
        let map = accessMap(ofImage: flexpage.key.image)
        let isMoved = map.chunk(of: flexpage.key.page).withLock { chunk in
            let isMoved = move(flexpage, to: target, map, chunk)
            if isMoved { chunk.shard.pointee.moves += UInt64(target.frames) }
            return isMoved
        }
        if !isMoved { give(target) }
        return isMoved
    }

    /// The same, with the lock: so no thread comes to it, and what is copied stays as it is.
    private func move(
        _ flexpage: PageQueue.Queued, to target: Region, _ map: AccessMap, _ chunk: borrowing LockedChunk
    ) -> Bool {
        let id = flexpage.region.first
        guard map.flexpage(at: flexpage.key.page, in: chunk) == id, table.region(of: id) == flexpage.region,
            table.state(of: id).isMovable
        else { return false }
        memcpy(table.memory(of: target.first), table.memory(of: id), target.frames * BasePage.size)
        let isReplaced = queue.replace(id, count: 1) { _ in
            // Under the queue's lock, because the queue takes hits back.
            let state = table.word(id).pointee.state.load(ordering: .relaxed)
            return table.make(target, key: flexpage.key, state: state)
        }
        guard isReplaced else { return false }
        map.rename(target.first, in: chunk)
        table.kept?.move(flexpage.region, to: target)
        table.badPages.move(flexpage.region, to: target)
        return true
    }
}
