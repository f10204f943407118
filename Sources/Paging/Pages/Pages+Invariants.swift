extension Pages {
    /// Checks those invariants of README.md that the tables show. A violation ends the process.
    ///
    /// 1. Flexpages of one Provider never overlap: each base page of a flexpage names it, and no leaf names a flexpage
    ///    that does not cover it.
    /// 2. Nobody sees a flexpage that is not fully populated: what is queued or lent is populated. 3. Every Region is
    /// in exactly one place. With `isQuiet`, free and used ones add up to the arena. 4. and 5. Only a page that has no
    /// pins, is not dirty and is not going out is recycled. So what is dirty or lent is in the map.
    ///
    /// All notes of what is dirty agree (Pages+DirtyInvariants).
    ///
    /// It stops all shards meanwhile. O(frames).
    /// - Parameter isQuiet: No request is under way, so no thread has a Region in hand.
    public func checkInvariants(isQuiet: Bool = false) {
        let shards = memory.metadata.shards
        for index in 0..<AccessMap.shardCount { (shards + index).lockBesideOthers() }
        defer { for index in (0..<AccessMap.shardCount).reversed() { (shards + index).unlock() } }

        var mappedFrames = 0
        var leavesInUse = 0
        for index in 0..<AccessMap.shardCount {
            accessMap(ofImage: 0).forEachLeaf(inShard: index) { _, leaf in
                leavesInUse += 1
                mappedFrames += check(leaf, inShard: shards + index)
            }
            checkZeroes(inShard: index)
        }
        checkDirty(isQuiet: isQuiet)
        memory.checkInvariants()
        let queuedFrames = queue.checkInvariants()
        let freeFrames = memory.idleFrames
        precondition(leavesInUse == leaves.used, "every leaf in use is in a bucket")
        precondition(mappedFrames + freeFrames <= memory.metadata.frames, "(3) more frames than there are")
        precondition(UInt64(memory.bytesInUse) <= UInt64(memory.bytes), "(8) the bound holds")
        if isQuiet {
            precondition(mappedFrames + freeFrames == memory.metadata.frames, "(3) frames were lost")
            precondition(queuedFrames == mappedFrames, "every flexpage is queued")
        }
    }

    /// Checks what is known to be zeroes in a shard: nothing of it is covered by a flexpage.
    private func checkZeroes(inShard index: Int) {
        let shard = memory.metadata.shards + index
        var known = 0
        accessMap(ofImage: 0).zeroes.forEachRecord(inShard: index) { record, key in
            let map = accessMap(ofImage: key.image)
            precondition(map.shard(of: key.page) == shard, "a record of zeroes is in its shard")
            precondition(!record.pages.isEmpty, "an empty record is free")
            known += record.pages.count
            map.chunk(of: key.page).assumingLocked { chunk in
                let vacant = map.vacantPages(in: Chunk.around(key.page), of: chunk)
                precondition(record.pages.subtracting(vacant).isEmpty, "a known zero is not resident")
            }
        }
        precondition(known == shard.pointee.knownZeroes, "known zeroes are counted")
    }

    /// Checks one leaf and the flexpages in it.
    /// - Returns: The frames that the leaf names.
    private func check(_ leaf: UnsafeMutablePointer<Leaf>, inShard shard: UnsafeMutablePointer<Shard>) -> Int {
        let image = leaf.image
        let map = accessMap(ofImage: image)
        precondition(map.shard(of: leaf.firstPage) == shard, "a leaf is in its shard")
        precondition(!leaf.isEmpty, "an empty leaf is given back")
        var frames = 0
        for index in 0..<Leaf.pages where leaf.pointee.flexpages[index] != .none {
            let id = leaf.pointee.flexpages[index]
            let page = leaf.firstPage + UInt64(index)
            let flexpage = table[id]
            let state = PageState(table.word(id).pointee.state.load(ordering: .relaxed))
            precondition(flexpage.pointee.key.image == image, "(1) a flexpage is of its image")
            precondition(flexpage.covered.contains(page), "(1) a flexpage covers what names it")
            let position = QueuePosition(table.word(id).pointee.position.load(ordering: .relaxed))
            precondition(position.order == UInt64(flexpage.pointee.order), "a flexpage's word knows its order")
            precondition(flexpage.pointee.key.page % flexpage.pages == 0, "a flexpage is aligned")
            precondition(Int(id) % Int(flexpage.pages) == 0, "a Region is aligned")
            precondition(!state.has(PageState.withdrawn), "(6) what is withdrawn is in no map")
            precondition(state.has(PageState.populated) || state.pins > 0, "a fill has its filler")
            precondition(state.has(PageState.populated) || !state.has(PageState.dirty), "(2) a dirty page is populated")
            frames += 1
        }
        return frames
    }
}
