/// What is dirty is noted five times, because it is asked for in different ways. The bits of the leaves are the truth.
/// The words of the flexpages, the Ledgers, the DirtyLimit and the notes of bad pages follow them.
extension Pages {
    /// What the leaves of an image say.
    private struct Found {
        var dirtyLeaves = 0
        var failedLeaves = 0
        var dirtyPages = 0
        var unsyncedPages = 0

        mutating func add(_ leaf: UnsafeMutablePointer<Leaf>) {
            let dirty = leaf.pointee.dirty | leaf.pointee.writing
            if dirty != 0 { dirtyLeaves += 1 }
            if leaf.pointee.status.hasFailed { failedLeaves += 1 }
            dirtyPages += dirty.nonzeroBitCount
            unsyncedPages += leaf.pointee.unsynced.nonzeroBitCount
        }
    }

    /// Checks that all of them agree; a violation ends the process. All shards are locked. O(frames).
    /// - Parameter isQuiet: No request is under way, so nothing is admitted that is not dirty.
    func checkDirty(isQuiet: Bool) {
        var images = [Found](repeating: Found(), count: memory.metadata.images)
        for index in 0..<AccessMap.shardCount {
            accessMap(ofImage: 0).forEachLeaf(inShard: index) { _, leaf in
                checkDirty(of: leaf)
                images[Int(leaf.image)].add(leaf)
            }
        }
        for image in images.indices { check(accessMap(ofImage: UInt16(image)), images[image], isQuiet: isQuiet) }
        let leaves = dirtyLimit.leaves
        precondition(leaves.dirty == images.reduce(0) { $0 + $1.dirtyLeaves }, "the dirty limit counts dirty leaves")
        precondition(leaves.failed == images.reduce(0) { $0 + $1.failedLeaves }, "the dirty limit counts failed leaves")
        let dirtyPages = images.reduce(0) { $0 + $1.dirtyPages }
        precondition(dirtyLimit.pages >= dirtyPages, "what is dirty has been admitted")
        precondition(!isQuiet || dirtyLimit.pages == dirtyPages, "what is not dirty any more has been released")
    }

    private func check(_ map: AccessMap, _ found: Found, isQuiet: Bool) {
        map.ledger.checkInvariants()
        precondition(map.ledger.dirtyLeaves == found.dirtyLeaves, "every dirty leaf is on the dirty list")
        precondition(map.ledger.failedLeaves == found.failedLeaves, "(6) what has failed is counted")
        precondition(map.risk.unsyncedPages == found.unsyncedPages, "what is not durable is counted")
        let ofImage = map.ledger.dirtyLimit.pagesOfImage
        precondition(ofImage >= found.dirtyPages, "what is dirty has been admitted to its image")
        precondition(!isQuiet || ofImage == found.dirtyPages, "what is not dirty any more has been released")
    }

    /// Checks the bits of a leaf against each other and against the words of its flexpages.
    private func checkDirty(of leaf: UnsafeMutablePointer<Leaf>) {
        let (dirty, writing, unsynced) = (leaf.pointee.dirty, leaf.pointee.writing, leaf.pointee.unsynced)
        precondition(dirty & writing == 0, "(5) what is going out is not written to")
        let list: LeafStatus.List = dirty | writing != 0 ? .dirty : unsynced != 0 ? .unsynced : .none
        precondition(leaf.pointee.status.list == list, "a leaf is on the list that its bits say")
        for index in 0..<Leaf.pages {
            let (id, page) = (leaf.pointee.flexpages[index], leaf.firstPage + UInt64(index))
            let bit = UInt8(1) << UInt8(index)
            guard id != FlexpageID.none else {
                precondition((dirty | writing | unsynced) & bit == 0, "what is dirty is resident")
                continue
            }
            if table.badPages.isBad(table.frame(of: page, in: id)) {
                precondition((dirty | writing) & bit != 0 && leaf.pointee.status.hasFailed, "a bad page is dirty")
            }
            if page == table[id].pointee.key.page { checkDirty(of: id, image: leaf.image) }
        }
    }

    /// Checks the word of a flexpage against the bits of its leaves. It is *dirty* until what is going out is out.
    private func checkDirty(of id: FlexpageID, image: UInt16) {
        let word = table.state(of: id)
        let map = accessMap(ofImage: image)
        let found = map.chunk(of: table[id].pointee.key.page).assumingLocked { chunk in
            map.stateOfPages(of: id, in: chunk)
        }
        for bit in [PageState.writing, PageState.unsynced] {
            precondition(word.has(bit) == found.has(bit), "a flexpage's word says what its pages are")
        }
        precondition(word.has(PageState.dirty) || !found.has(PageState.dirty), "a dirty page's flexpage is dirty")
        precondition(
            !word.has(PageState.dirty) || found.has(PageState.dirty | PageState.writing),
            "a dirty flexpage has a dirty page")
    }
}
