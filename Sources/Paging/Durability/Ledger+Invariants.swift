/// What must hold of the lists.
extension Ledger {
    /// Checks that the links of both lists agree with the leaves' status and bits. O(leaves on the lists). The caller
    /// holds all shards' locks.
    func checkInvariants() {
        lock.withLock {
            check(record.pointee.dirty, .dirty)
            check(record.pointee.unsynced, .unsynced)
        }
    }

    private func check(_ list: LeafList, _ name: LeafStatus.List) {
        var count = 0
        var previous = LeafID.none
        var id = list.head
        while id != .none {
            let leaf = leaves[id]
            precondition(
                leaf.pointee.status.list == name && leaf.pointee.previousOnList == previous, "links must agree")
            if name == .dirty {
                precondition(leaf.pointee.dirty | leaf.pointee.writing != 0, "what is on the dirty list is dirty")
            } else {
                precondition(leaf.pointee.dirty | leaf.pointee.writing == 0, "what is dirty is on the dirty list")
                precondition(!leaf.pointee.status.hasFailed, "(6) what failed is dirty until it is out, and no longer")
            }
            previous = id
            id = leaf.pointee.nextOnList
            count += 1
        }
        precondition(previous == list.tail && count == list.count, "counts must agree")
    }
}
