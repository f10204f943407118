/// What happens to cached pages when another process may have changed the image.
extension PageMapper {
    /// Drops all that was read of the image, and all that is known of its zeroes and holes. It changes nothing of the
    /// image.
    ///
    /// The whole image is reserved, so that new fills wait until it is done, and read what is on the image now. Those
    /// of reading ahead do not read it at all. Fills that began earlier are waited for, and what they have read is
    /// dropped with the rest. So nothing older surfaces afterwards (invariant 10). A client that reads a resident page
    /// meanwhile sees the older state.
    ///
    /// Nobody writes, and nothing is dirty: only then is the lock given up that keeps other processes from changing the
    /// image. O(all flexpages and buckets).
    /// - Returns: How many base pages were dropped.
    func forgetImage() -> Int {
        assert(context.map.ledger.dirtyLeaves == 0, "nobody writes what somebody else may change")
        guard size > 0 else { return 0 }
        let image = BasePage.numbers(covering: 0..<size)
        context.reservations.reserve(image)
        defer { context.reservations.release(image) }
        var dropped = 0
        visitShards(
            where: { isClean($0) },
            do: { id, chunk in
                if context.table.state(of: id).isRecyclable {
                    dropped += context.table[id].covered.count
                    drop(id, in: chunk)
                } else {
                    context.waitUntilReleased(id, in: chunk)
                }
            },
            atEnd: { index, shard in
                context.map.forgetZeroes(inShard: index)
                // A thread that has asked the image for holes before this notes none of them after it.
                shard.pointee.writeLoans += 1
            })
        context.noteHole(0..<0)
        context.waiters.wake()
        return dropped
    }

    /// Drops the clean pages of the image that nobody uses at the moment, to make room for others. What is dirty, lent
    /// or being read stays. So does what is not durable yet, because a failed sync would lose it otherwise, and so do
    /// known zeroes, which take no memory. Waits for nothing. O(all flexpages and buckets).
    /// - Returns: How many base pages were dropped.
    func dropClean() -> Int {
        var dropped = 0
        visitShards(
            where: { id in
                let state = context.table.state(of: id)
                return state.isRecyclable && !state.has(PageState.unsynced)
            },
            do: { id, chunk in
                dropped += context.table[id].covered.count
                drop(id, in: chunk)
            },
            atEnd: { _, _ in })
        context.waiters.wake()
        return dropped
    }

    /// Whether flexpage `id` holds what a client or reading ahead has read, or is reading.
    private func isClean(_ id: FlexpageID) -> Bool {
        !context.table.state(of: id).has(PageState.dirty | PageState.writing | PageState.exclusive)
    }
}
