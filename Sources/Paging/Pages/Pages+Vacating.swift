/// Vacating: what lies in a closed block is moved elsewhere, so that the block becomes empty.
///
/// A flexpage that no thread has goes to a free Region of the same order, dirty or not, with its hits and its turn in
/// the PageQueue. If there is none, pages are recycled in the order of the queue. So a smaller memory loses what it
/// would have recycled next, and no hot page, wherever that lies. A flexpage is split first if it is too large to be
/// moved, if there is no Region for it in one piece, or if it lies across the edge of the block.
///
/// Nothing is waited for. A flexpage that a thread has stays, and so does one that is going out: the caller may try
/// again.
extension Pages {
    /// The maximum number of flexpages that are recycled for each frame of a Region in one piece.
    private static let maxRecycledForOne = 2

    /// Moves what can be moved now out of `block`, the frames of a closed one. O(frames of it).
    /// - Returns: False if there is no room for it, because all other pages are in use or dirty. To find that out is
    ///   O(flexpages).
    func vacate(_ block: Range<FlexpageID>) -> Bool {
        LockRank.assertNoneHeld("pages are recycled")
        // A flexpage that reaches into the block begins before it.
        var frame = block.lowerBound & ~(1 << FlexpageID(Region.maxOrder) - 1)
        while frame < block.upperBound {
            guard let found = queue.flexpage(at: frame) else {
                frame += 1
                continue
            }
            guard found.region.end > block.lowerBound, table.state(of: found.region.first).isMovable else {
                frame = found.region.end
                continue
            }
            switch vacate(found, of: block) {
            case .done: frame = found.region.end
            case .split: break
            case .noRoom: return false
            }
        }
        return true
    }

    /// What has become of a flexpage of a closed block.
    private enum Vacated {
        /// It has been moved, or a thread has it by now.
        case done
        /// It has been split: its pieces must be looked at.
        case split
        case noRoom
    }

    private func vacate(_ found: PageQueue.Queued, of block: Range<FlexpageID>) -> Vacated {
        let region = found.region
        if region.first < block.lowerBound || region.end > block.upperBound {
            return split(found) { block.contains($0) } ? .split : .done
        }
        if region.order > Pages.maxMoved {
            return split(found) { ($0 - region.first) >> FlexpageID(Pages.maxMoved) & 1 == 0 } ? .split : .done
        }
        guard let target = obtain(order: Int(region.order)) else {
            guard region.order > 0 else { return .noRoom }
            return split(found) { $0 & 1 == 0 } ? .split : .done
        }
        if move(found, to: target) { give(region) }
        return .done
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
