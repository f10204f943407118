/// Whether the queues agree with themselves.
extension PageQueue {
    /// Frames of all queued flexpages. Each image's links and counts agree, and so do the shares. O(flexpages, images).
    func checkInvariants() -> Int {
        lock.lock()
        defer { lock.unlock() }
        for image in 0..<imageCount {
            let queues = images + image
            checkLocked(queues.pointee.probation, .probation, ofImage: image)
            checkLocked(queues.pointee.main, .main, ofImage: image)
            precondition(
                queues.pointee.frames == state.pointee.shares.held(by: UInt16(image)),
                "an image holds what it has queued")
        }
        state.pointee.shares.checkInvariants()
        return state.pointee.shares.held
    }

    private func checkLocked(_ list: FlexpageList, _ name: Name, ofImage image: Int) {
        var flexpages = 0
        var frames = 0
        var previous = FlexpageID.none
        var id = list.head
        while id != .none {
            precondition(table[id].pointee.queue == name, "a queued flexpage knows its queue")
            precondition(Int(table[id].pointee.key.image) == image, "a flexpage is on a queue of its image")
            precondition(table[id].pointee.previous == previous, "links must agree")
            flexpages += 1
            frames += Int(table[id].pages)
            previous = id
            id = table[id].pointee.next
        }
        precondition(previous == list.tail, "the tail is the last")
        precondition(flexpages == list.flexpages && frames == list.frames, "counts must agree")
    }
}
