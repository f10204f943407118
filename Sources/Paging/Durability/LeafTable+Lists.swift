/// Lists of leaves. They belong to the Ledgers, and each Ledger's lock guards its own.
extension LeafTable {
    /// Puts leaf `id`, which is on no list, behind `previous`, or at the head if that is `.none`. O(1).
    func insert(_ id: LeafID, after previous: LeafID, in list: inout LeafList) {
        assert(id != .none && id != previous, "a leaf comes behind another one")
        let next = previous == .none ? list.head : self[previous].pointee.nextOnList
        self[id].pointee.previousOnList = previous
        self[id].pointee.nextOnList = next
        if previous == .none { list.head = id } else { self[previous].pointee.nextOnList = id }
        if next == .none { list.tail = id } else { self[next].pointee.previousOnList = id }
        list.count += 1
    }

    /// Takes leaf `id` off its list. O(1).
    func unlink(_ id: LeafID, from list: inout LeafList) {
        assert(list.count > 0, "a leaf that is taken off a list was on it")
        let (previous, next) = (self[id].pointee.previousOnList, self[id].pointee.nextOnList)
        if previous == .none { list.head = next } else { self[previous].pointee.nextOnList = next }
        if next == .none { list.tail = previous } else { self[next].pointee.previousOnList = previous }
        list.count -= 1
    }
}
