/// What zero, trim and the end of an image do to cached pages.
extension PageMapper {
    /// Changes `pages` of the image behind the cache's back, to zeroes, and drops what was cached of them.
    ///
    /// It reserves the range, so that new fills, writes and write-outs in it wait; waits for those under way; calls
    /// `change`; and only if that succeeds drops the pages, dirty ones too. A flexpage that only reaches into the range
    /// is split at its border first. So no older write or fill can surface afterwards (invariant 10), and a failure
    /// changes nothing. O(flexpages in the range) or O(all flexpages and buckets), whichever is less, whatever its
    /// length.
    /// - Parameter pages: Not empty.
    func replace(
        _ pages: Range<UInt64>, by change: () throws(AccessError) -> Void
    ) throws(AccessError) {
        context.reservations.reserve(pages)
        defer { context.reservations.release(pages) }
        visit(
            pages, .touching, where: { !$0.isQuiescent },
            do: { id, shard in context.waitUntilReleased(id, on: shard) })
        context.map.risk.beginChange()
        do throws(AccessError) {
            try change()
        } catch {
            context.map.risk.endChange()
            throw error
        }
        context.map.risk.endChange()
        splitStraddlers(of: pages)
        visit(pages, .inside, where: { _ in true }, do: { id, shard in dropOrWait(id, on: shard) })
        noteZeroes(in: pages)
        context.waiters.wake()
    }

    /// Drops a flexpage and what is dirty of it, or where readers have it waits for them. The shard's lock is held.
    private func dropOrWait(_ id: FlexpageID, on shard: UnsafeMutablePointer<Shard>) {
        let state = PageState(context.table.word(id).pointee.state.load(ordering: .acquiring))
        guard state.pins == 0 else {
            context.waitUntilReleased(id, on: shard)
            return
        }
        context.dirtyLimit.release(context.map.forgetDirtyPages(of: context.table[id].covered))
        drop(id)
    }

    /// Drops every flexpage of the image, none of which is lent or dirty, and every known zero. O(buckets + flexpages).
    func dropAll() {
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            var bucket = 0
            while let id = context.map.firstFlexpage(inShard: index, from: &bucket, where: { _ in true }) {
                drop(id)
            }
            context.map.forgetZeroes(inShard: index)
            shard.unlock()
        }
    }

    /// Takes a flexpage out of the AccessMap and frees its Region, or leaves that to the recycler who has it in hand.
    /// The shard's lock is held.
    func drop(_ id: FlexpageID) {
        let region = context.table.region(of: id)
        precondition(
            PageState(context.table.word(id).pointee.state.load(ordering: .acquiring)).isRecyclable,
            "only what is neither lent nor dirty is dropped")
        context.map.remove(id)
        if context.queue.remove(id) { pages.give(region) }
    }

    /// Splits flexpages that reach over the ends of `pages` there, so that what is inside can be dropped; one that a
    /// recycler has in hand is zeroed there in place, and is clean there then.
    private func splitStraddlers(of pages: Range<UInt64>) {
        for page in [pages.lowerBound, pages.upperBound - 1] {
            let shard = context.map.shard(of: page)
            shard.lock()
            while true {
                let id = context.map.flexpage(at: page)
                guard id != .none, !pages.contains(context.table[id].covered) else { break }
                // Readers in it, who came before the change was made, see old bytes or new ones, not both.
                if PageState(context.table.word(id).pointee.state.load(ordering: .acquiring)).pins == 0 {
                    let inside = pages.clamped(to: context.table[id].covered)
                    let isSplit = self.pages.split(id, around: PageSet(inside), in: context.map, on: shard)
                    if !isSplit { zeroInPlace(inside, of: id) }
                    break
                }
                context.waitUntilReleased(id, on: shard)
            }
            shard.unlock()
        }
    }

    private func zeroInPlace(_ pages: Range<UInt64>, of id: FlexpageID) {
        let position = Int(pages.lowerBound - context.table[id].pointee.key.page) * BasePage.size
        (context.table.memory(of: id) + position)
            .initializeMemory(as: UInt8.self, repeating: 0, count: pages.count * BasePage.size)
        context.dirtyLimit.release(context.map.forgetDirtyPages(of: pages))
    }

    /// Which flexpages a visit goes to.
    private enum Visited {
        /// Those that lie wholly in the range.
        case inside
        /// Those that have a page in the range.
        case touching
    }

    /// Calls `body`, with the shard locked, with each flexpage of the range that `condition` holds for, until there is
    /// none. The body brings that about, or sleeps at the shard.
    private func visit(
        _ pages: Range<UInt64>, _ visited: Visited, where condition: (PageState) -> Bool,
        do body: (FlexpageID, UnsafeMutablePointer<Shard>) -> Void
    ) {
        func isDue(_ id: FlexpageID) -> Bool {
            let covered = context.table[id].covered
            let isVisited = visited == .inside ? pages.contains(covered) : pages.overlaps(covered)
            return isVisited
                && condition(PageState(context.table.word(id).pointee.state.load(ordering: .acquiring)))
        }
        if pages.count / Leaf.pages <= self.pages.memory.metadata.frames / 4 + Chunk.pages {
            visitByOffset(pages, where: isDue, body)
        } else {
            visitByShard(where: isDue, body)
        }
    }

    /// Visits by walking along the range: O(leaves of the range).
    private func visitByOffset(
        _ pages: Range<UInt64>, where isDue: (FlexpageID) -> Bool,
        _ body: (FlexpageID, UnsafeMutablePointer<Shard>) -> Void
    ) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let end = min((page | UInt64(Chunk.pages - 1)) + 1, pages.upperBound)
            let shard = context.map.shard(of: page)
            shard.lock()
            while page < end {
                guard let leaf = context.map.leaf(of: page) else {
                    page = min((page | 7) + 1, end)
                    continue
                }
                let id = leaf.pointee.flexpages[Int(page & 7)]
                if id != .none, isDue(id) { body(id, shard) } else { page += 1 }
            }
            shard.unlock()
        }
    }

    /// Visits by going through the image's flexpages: O(buckets + flexpages).
    private func visitByShard(
        where isDue: (FlexpageID) -> Bool, _ body: (FlexpageID, UnsafeMutablePointer<Shard>) -> Void
    ) {
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            var bucket = 0
            while let id = context.map.firstFlexpage(inShard: index, from: &bucket, where: isDue) {
                body(id, shard)
            }
            shard.unlock()
        }
    }
}

extension Range<UInt64> {
    /// Whether all of `other` lies in it.
    fileprivate func contains(_ other: Range<UInt64>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }
}
