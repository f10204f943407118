/// Blocks that are closed, so that their memory can be given to the system: see ClosedBlocks.
///
/// A closed block becomes empty once all that lies in it has been given back. No thread can take anything of it
/// meanwhile.
extension Memory {
    /// Closes `block`: what is free of it is withheld from now on, and so is what becomes free. O(frames of it).
    func close(_ block: Int) {
        lock.lock()
        defer { lock.unlock() }
        state.pointee.closed.close(block)
        let frames = state.pointee.closed.grid.frames(of: block)
        var frame = frames.lowerBound
        while frame < frames.upperBound {
            guard let region = freeRegionLocked(with: frame) else {
                frame += 1
                continue
            }
            free[Int(region.order)].remove(Int(region.first) >> Int(region.order))
            state.pointee.freeFrames -= region.frames
            putLocked(region)
            frame = region.end
        }
    }

    /// Opens a closed block: what was withheld of it is free. O(frames of it). The caller wakes those that wait for
    /// memory.
    func reopen(_ block: Int) {
        lock.lock()
        defer { lock.unlock() }
        let withheld = state.pointee.closed.grid.frames(of: block).filter { state.pointee.closed.isWithheld($0) }
        for frame in withheld { state.pointee.closed.release(frame) }
        state.pointee.closed.open(block)
        for frame in withheld { putLocked(Region(first: frame, order: 0)) }
    }

    /// Frames of a closed block that are withheld. The block is empty once these are all. A snapshot.
    func withheldFrames(in block: Int) -> Int { lock.withLock { state.pointee.closed.withheld(in: block) } }

    /// Frames that are withheld, and how many times some have become free. A snapshot.
    var withheldFrames: (count: Int, reopenings: UInt64) {
        lock.withLock { (state.pointee.closed.withheld, state.pointee.closed.reopenings) }
    }

    func isClosed(_ block: Int) -> Bool { lock.withLock { state.pointee.closed.isClosed(block) } }

    var grid: BlockGrid { lock.withLock { state.pointee.closed.grid } }

    /// The memory of a block.
    func bytes(ofBlock block: Int) -> UnsafeMutableRawBufferPointer {
        let frames = grid.frames(of: block)
        return UnsafeMutableRawBufferPointer(
            start: address(ofFrame: frames.lowerBound), count: frames.count * BasePage.size)
    }

    /// How many frames of `frames` are free. A snapshot; O(frames).
    func freeFrames(in frames: Range<UInt32>) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var count = 0
        var frame = frames.lowerBound
        while frame < frames.upperBound {
            let region = freeRegionLocked(with: frame)
            let next = min(region?.end ?? frame + 1, frames.upperBound)
            if region != nil { count += Int(next - frame) }
            frame = next
        }
        return count
    }

    /// The free Region that `frame` is in, or nil if the frame is not free. O(orders).
    private func freeRegionLocked(with frame: UInt32) -> Region? {
        lock.assertHeld()
        for order in 0...Region.maxOrder where free[order].contains(Int(frame) >> order) {
            return Region(first: frame & ~(1 << UInt32(order) - 1), order: UInt8(order))
        }
        return nil
    }

    /// Takes a Region back: what of it lies in closed blocks is withheld, and the rest is free.
    func putLocked(_ region: Region) {
        lock.assertHeld()
        switch state.pointee.closed.part(of: region) {
        case .none: freeLocked(region)
        case .all: state.pointee.closed.withhold(region)
        case .some:
            putLocked(region.lowerHalf)
            putLocked(region.upperHalf)
        }
    }

    /// What is withheld adds up, and none of it is free. O(frames).
    func checkBlocksLocked() {
        lock.assertHeld()
        let closed = state.pointee.closed
        var (blocks, withheld) = (0, 0)
        for block in 0..<closed.grid.count where closed.isClosed(block) {
            let frames = closed.grid.frames(of: block).filter { closed.isWithheld($0) }
            precondition(frames.count == closed.withheld(in: block), "what a block withholds is counted")
            for frame in closed.grid.frames(of: block) {
                precondition(freeRegionLocked(with: frame) == nil, "nothing of a closed block is free")
            }
            blocks += 1
            withheld += frames.count
        }
        precondition(blocks == closed.count && withheld == closed.withheld, "what is withheld is counted")
    }
}
