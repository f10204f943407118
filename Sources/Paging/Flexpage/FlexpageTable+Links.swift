/// Lists of flexpages, doubly linked through the flexpages themselves: the PageQueue's, under its lock. O(1).
extension FlexpageTable {
    /// Puts a flexpage that is on no list before `next`, which is on the list with these ends, or at its tail where
    /// that is `.none`.
    func insert(
        _ id: FlexpageID, before next: FlexpageID, in head: inout FlexpageID, _ tail: inout FlexpageID
    ) {
        let previous = next == .none ? tail : self[next].pointee.previous
        self[id].pointee.previous = previous
        self[id].pointee.next = next
        if previous == .none { head = id } else { self[previous].pointee.next = id }
        if next == .none { tail = id } else { self[next].pointee.previous = id }
    }

    /// Takes a flexpage off the list with these ends.
    func unlink(_ id: FlexpageID, from head: inout FlexpageID, _ tail: inout FlexpageID) {
        let (previous, next) = (self[id].pointee.previous, self[id].pointee.next)
        if previous == .none { head = next } else { self[previous].pointee.next = next }
        if next == .none { tail = previous } else { self[next].pointee.previous = previous }
    }
}
