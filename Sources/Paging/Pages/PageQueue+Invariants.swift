/// Whether the queues agree with themselves.
extension PageQueue {
    /// Frames of all queued flexpages. Each queue's links and counts agree. O(flexpages).
    func checkInvariants() -> Int {
        lock.lock()
        defer { lock.unlock() }
        for (name, list) in [(Name.probation, state.pointee.probation), (Name.main, state.pointee.main)] {
            var flexpages = 0
            var frames = 0
            var previous = FlexpageID.none
            var id = list.head
            while id != .none {
                precondition(table[id].pointee.queue == name, "a queued flexpage knows its queue")
                precondition(table[id].pointee.previous == previous, "links must agree")
                flexpages += 1
                frames += Int(table[id].pages)
                previous = id
                id = table[id].pointee.next
            }
            precondition(previous == list.tail, "the tail is the last")
            precondition(flexpages == list.flexpages && frames == list.frames, "counts must agree")
        }
        return state.pointee.probation.frames + state.pointee.main.frames
    }
}
