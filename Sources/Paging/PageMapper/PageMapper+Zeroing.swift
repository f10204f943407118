/// What zero, trim and the closing of an image do to cached pages.
extension PageMapper {
    /// Changes `pages` of the image behind the cache's back, to zeroes usually, and drops what was cached of them.
    ///
    /// It reserves the range, so that new fills, writes and write-outs in it wait. It waits for those under way, and
    /// calls `change`. Only if that succeeds does it drop the pages, dirty ones too. A flexpage that reaches over the
    /// end of the range is split there first. So no older write or fill can surface afterwards (invariant 10), and a
    /// failure changes nothing. O(flexpages in the range) or O(all flexpages and buckets), whichever is less, whatever
    /// its length.
    /// - Parameter pages: Not empty.
    /// - Parameter isZeroed: Whether the image holds zeroes there then. If not, it is read when it is wanted.
    func replace(
        _ pages: Range<UInt64>, isZeroed: Bool = true, by change: () throws(AccessError) -> Void
    ) throws(AccessError) {
        assert(!pages.isEmpty, "a range that is not empty is reserved")
        context.reservations.reserve(pages)
        defer { context.reservations.release(pages) }
        visit(
            pages, .touching, where: { !context.table.state(of: $0).isQuiescent },
            do: { id, chunk in context.waitUntilReleased(id, in: chunk) })
        forgetCleanForNextServer(pages)
        try atRisk(change)
        splitStraddlers(of: pages)
        visit(pages, .inside, where: { _ in true }, do: { id, chunk in dropOrWait(id, in: chunk) })
        if isZeroed { noteZeroes(in: pages) } else { forgetZeroes(in: pages) }
        context.waiters.wake()
    }

    /// Changes the image. A sync that fails may lose that, unless the image makes such changes durable itself.
    func atRisk(_ change: () throws(AccessError) -> Void) throws(AccessError) {
        guard !accessor.isChangeDurable else { return try change() }
        context.map.risk.beginChange()
        defer { context.map.risk.endChange() }
        try change()
    }

    /// What has been read of `pages` is not kept for the next server from now on: if this one dies while the image is
    /// being changed, it may be older than the image. What is owed stays, because the change has not been answered. If
    /// a sync makes it durable meanwhile, it is not kept any more either (`AccessMap.settle`).
    private func forgetCleanForNextServer(_ pages: Range<UInt64>) {
        guard let kept = context.table.kept else { return }
        func cleanFrames(of id: FlexpageID) -> [Int] {
            pages.clamped(to: context.table[id].covered)
                .map { Int(context.table.frame(of: $0, in: id)) }
                .filter { kept[$0].isLive && !kept[$0].isOwed }
        }
        visit(
            pages, .touching, where: { !cleanFrames(of: $0).isEmpty },
            do: { id, _ in for frame in cleanFrames(of: id) { kept[frame] = .empty } })
    }

    /// Drops a flexpage and what is dirty of it, or if readers have it waits for them.
    private func dropOrWait(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        guard context.table.state(of: id).pins == 0 else {
            context.waitUntilReleased(id, in: chunk)
            return
        }
        let covered = context.table[id].covered
        context.dirtyLimit.release(
            context.map.forgetDirtyPages(of: covered, isDurable: accessor.isChangeDurable, in: chunk))
        drop(id, in: chunk)
    }

    /// Drops every flexpage of the image, none of which is lent or dirty, and every known zero. O(buckets + flexpages).
    func dropAll() {
        visitShards(
            where: { _ in true },
            do: { id, chunk in drop(id, in: chunk) },
            atEnd: { index, _ in context.map.forgetZeroes(inShard: index) })
    }

    /// Takes a flexpage out of the AccessMap and frees its Region, or leaves that to the recycler that has it in hand.
    func drop(_ id: FlexpageID, in chunk: borrowing LockedChunk) {
        let region = context.table.region(of: id)
        precondition(context.table.state(of: id).isRecyclable, "only what is neither lent nor dirty is dropped")
        context.note(.drop, context.table[id].covered, in: chunk.chunk)
        context.map.remove(id, in: chunk)
        if context.queue.remove(id) { pages.give(region) }
    }

    /// Splits flexpages that reach over the ends of `pages` there, so that what is inside can be dropped. If a recycler
    /// has one in hand, it is zeroed there in place, and is clean there then.
    private func splitStraddlers(of pages: Range<UInt64>) {
        for page in [pages.lowerBound, pages.upperBound - 1] {
            context.map.chunk(of: page).withLock { chunk in
                while true {
                    let id = context.map.flexpage(at: page, in: chunk)
                    guard id != .none, !pages.contains(context.table[id].covered) else { break }
                    // Readers in it came before the change was made. They see old bytes or new ones, not both.
                    if context.table.state(of: id).pins == 0 {
                        let inside = pages.clamped(to: context.table[id].covered)
                        let isSplit = self.pages.split(id, around: PageSet(inside), in: context.map, chunk)
                        if !isSplit { zeroInPlace(inside, of: id, in: chunk) }
                        break
                    }
                    context.waitUntilReleased(id, in: chunk)
                }
            }
        }
    }

    private func zeroInPlace(_ pages: Range<UInt64>, of id: FlexpageID, in chunk: borrowing LockedChunk) {
        for page in pages { context.table.kept?[Int(context.table.frame(of: page, in: id))] = .empty }
        let position = Int(pages.lowerBound - context.table[id].pointee.key.page) * BasePage.size
        (context.table.memory(of: id) + position)
            .initializeMemory(as: UInt8.self, repeating: 0, count: pages.count * BasePage.size)
        context.dirtyLimit.release(
            context.map.forgetDirtyPages(of: pages, isDurable: accessor.isChangeDurable, in: chunk))
    }

    // MARK: Visiting

    /// Which flexpages a visit goes to.
    private enum Visited {
        /// Those that lie wholly in the range.
        case inside
        /// Those that have a page in the range.
        case touching
    }

    /// Calls `body` with each flexpage of the range that `condition` holds for, until there is none. The body brings
    /// that about, or sleeps at the shard.
    private func visit(
        _ pages: Range<UInt64>, _ visited: Visited, where condition: (FlexpageID) -> Bool,
        do body: (FlexpageID, borrowing LockedChunk) -> Void
    ) {
        func isDue(_ id: FlexpageID) -> Bool {
            let covered = context.table[id].covered
            let isVisited = visited == .inside ? pages.contains(covered) : pages.overlaps(covered)
            return isVisited && condition(id)
        }
        if pages.count / Leaf.pages <= self.pages.memory.metadata.frames / 4 + Chunk.pages {
            visitByOffset(pages, where: isDue, body)
        } else {
            visitShards(where: isDue, do: body, atEnd: { _, _ in })
        }
    }

    /// Visits by walking along the range: O(leaves of the range).
    private func visitByOffset(
        _ pages: Range<UInt64>, where isDue: (FlexpageID) -> Bool,
        _ body: (FlexpageID, borrowing LockedChunk) -> Void
    ) {
        for part in pages.chunkParts {
            context.map.chunk(of: part.lowerBound).withLock { chunk in
                var page = part.lowerBound
                while page < part.upperBound {
                    guard let leaf = context.map.leaf(of: page, in: chunk) else {
                        page = Leaf.around(page).upperBound
                        continue
                    }
                    let id = leaf.pointee.flexpages[Leaf.index(of: page)]
                    if id != .none, isDue(id) { body(id, chunk) } else { page += 1 }
                }
            }
        }
    }

    /// Visits by going through all of the image's flexpages: O(buckets + flexpages).
    /// - Parameter atEnd: Called with each shard, still locked, when all of its flexpages have been visited.
    func visitShards(
        where isDue: (FlexpageID) -> Bool, do body: (FlexpageID, borrowing LockedChunk) -> Void,
        atEnd: (Int, UnsafeMutablePointer<Shard>) -> Void
    ) {
        for index in 0..<AccessMap.shardCount {
            let shard = context.map.shards + index
            shard.lock()
            context.map.forEachFlexpage(inShard: index, where: isDue, do: body)
            atEnd(index, shard)
            shard.unlock()
        }
    }
}
