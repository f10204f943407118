/// What happens to cached pages when somebody else may have changed the image.
extension PageMapper {
    /// Drops all that was read of the image, and all that is known of its zeroes and holes. It changes nothing of the
    /// image.
    ///
    /// The whole image is reserved, so that new fills, reading ahead among them, wait until it is done: they read what
    /// is on the image now. Fills that began earlier are waited for, and what they have read is dropped with the rest,
    /// so nothing older surfaces afterwards (invariant 10). Who reads what is resident meanwhile sees the older state.
    ///
    /// Nobody writes, and nothing is dirty: the lock that lets somebody else change the image is given up only then.
    /// O(all flexpages and buckets).
    /// - Returns: How many base pages were dropped.
    func forgetImage() -> Int {
        assert(context.map.ledger.dirtyLeaves == 0, "nobody writes what somebody else may change")
        guard size > 0 else { return 0 }
        let image = BasePage.numbers(covering: 0..<size)
        context.reservations.reserve(image)
        defer { context.reservations.release(image) }
        var dropped = 0
        for index in 0..<AccessMap.shardCount { dropped += forgetImage(inShard: index) }
        context.noteHole(0..<0)
        context.waiters.wake()
        return dropped
    }

    private func forgetImage(inShard index: Int) -> Int {
        let shard = pages.memory.metadata.shards + index
        var dropped = 0
        shard.lock()
        defer { shard.unlock() }
        var bucket = 0
        while let id = context.map.firstFlexpage(inShard: index, from: &bucket, where: { isClean($0) }) {
            if PageState(context.table.word(id).pointee.state.load(ordering: .acquiring)).isRecyclable {
                dropped += context.table[id].covered.count
                drop(id)
            } else {
                context.waitUntilReleased(id, on: shard)
            }
        }
        context.map.forgetZeroes(inShard: index)
        // Who has asked the image for holes before this notes none of them after it.
        shard.pointee.writeLoans += 1
        return dropped
    }

    /// Whether flexpage `id` is what somebody has read, or is reading.
    private func isClean(_ id: FlexpageID) -> Bool {
        let state = PageState(context.table.word(id).pointee.state.load(ordering: .acquiring))
        return !state.has(PageState.dirty | PageState.writing | PageState.exclusive)
    }
}
