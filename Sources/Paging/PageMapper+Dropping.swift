extension PageMapper {
    /// Drops every flexpage of the image, none of which is lent or dirty. O(buckets + flexpages).
    func dropAll() {
        for index in 0..<AccessMap.shardCount {
            let shard = pages.memory.metadata.shards + index
            shard.lock()
            reach.map.forEachFlexpageOfImage(inShard: index) { drop($0) }
            shard.unlock()
        }
    }

    /// Takes a flexpage out of the AccessMap and frees its Region, or leaves that to the recycler who has it in hand.
    /// The shard's lock is held.
    func drop(_ id: FlexpageID) {
        let region = reach.table.region(of: id)
        precondition(
            PageState(reach.table[id].pointee.state.load(ordering: .acquiring)).isRecyclable,
            "only what is neither lent nor dirty is dropped")
        reach.map.remove(id)
        if reach.queue.remove(id) { pages.give(region) }
    }
}
