/// Vacating: what lies in a closed block is moved elsewhere, so that the block becomes empty.
///
/// A flexpage that no thread has goes to a free Region of the same order, dirty or not, with its hits and its turn in
/// the PageQueue. If there is none, pages are recycled in the order of the queue. So a smaller memory loses what it
/// would have recycled next, and no hot page, wherever that lies. A flexpage that is too large to be moved, or for which
/// there is no Region in one piece, is split first. So is one that lies across the edge of the block.
///
/// Nothing is waited for. A flexpage that a thread has stays, and so does one that is going out: the caller tries again.
extension Pages {
    /// The maximum number of flexpages that are recycled for a Region in one piece, in frames of it.
    private static let maxRecycledForOne = 2

    /// Moves what can be moved now out of `block`, the frames of a closed one. O(frames of it), unless all other pages
    /// are in use or dirty.
    func vacate(_ block: Range<FlexpageID>) {
        LockRank.assertNoneHeld("pages are recycled")
        // A flexpage that reaches into the block begins before it.
        var frame = block.lowerBound & ~(1 << FlexpageID(Region.maxOrder) - 1)
        while frame < block.upperBound {
            guard let found = queue.flexpage(at: frame) else {
                frame += 1
                continue
            }
            // After a split its pieces are looked at.
            let isSplit = found.region.end > block.lowerBound && !vacate(found, of: block)
            if !isSplit { frame = found.region.end }
        }
    }

    /// Moves a flexpage out of `block`, if that can be done now.
    /// - Returns: False if it has been split instead.
    private func vacate(_ found: PageQueue.Queued, of block: Range<FlexpageID>) -> Bool {
        let region = found.region
        guard table.state(of: region.first).isMovable else { return true }
        if region.first < block.lowerBound || region.end > block.upperBound {
            return !split(found) { block.contains($0) }
        }
        if region.order > Pages.maxMoved {
            return !split(found) { ($0 - region.first) >> FlexpageID(Pages.maxMoved) & 1 == 0 }
        }
        guard let target = obtain(order: Int(region.order)) else {
            return region.order == 0 || !split(found) { $0 & 1 == 0 }
        }
        if move(found, to: target) { give(region) }
        return true
    }

    /// A free Region of exactly `order`. If there is none, pages are recycled in the order of the queue. Nil if that
    /// makes none.
    private func obtain(order: Int) -> Region? {
        var left = order == 0 ? Int.max : Pages.maxRecycledForOne << order
        while true {
            if let region = memory.take(order: order) { return region }
            guard left > 0, recycleOne() else { return nil }
            left -= 1
        }
    }

    /// Splits a flexpage into pieces whose frames all belong to a part, or none.
    /// - Returns: Whether it has been split.
    private func split(_ found: PageQueue.Queued, where isInPart: (FlexpageID) -> Bool) -> Bool {
        let (id, map) = (found.region.first, accessMap(ofImage: found.key.image))
        var part = PageSet()
        for frame in id..<found.region.end where isInPart(frame) { part.insert(found.key.page + UInt64(frame - id)) }
        return map.chunk(of: found.key.page).withLock { chunk in
            // It may have become another one since.
            map.flexpage(at: found.key.page, in: chunk) == id && table.region(of: id) == found.region
                && split(id, around: part, in: map, chunk)
        }
    }
}
