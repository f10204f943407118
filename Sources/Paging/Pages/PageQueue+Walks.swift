/// Walks through the queues of an image, a few flexpages at a time, so that the lock is never held for long.
///
/// Between two steps, flexpages come, go and move. The walk remembers the next one to be visited, and `unlinkLocked`
/// moves it on when that one leaves its queue. So a walk never loses its way. A flexpage that stays on its queue is
/// visited. One that moves to the tail of main meanwhile may be visited twice.
extension PageQueue {
    /// One walk. There is at most one at a time.
    struct Walk {
        let image: UInt16
        /// Of the image: another one may get its number.
        fileprivate let generation: UInt32
        /// Flexpages of both queues at the beginning.
        let flexpages: Int
        fileprivate(set) var name = Name.probation
        /// Flexpages of the queue when the walk came to it.
        fileprivate var length: Int
        fileprivate var visits = 0
    }

    /// A flexpage that is being visited.
    struct Visit {
        let page: UInt64
        let order: UInt8
        let warmth: UInt8
    }

    /// The maximum number of flexpages that are visited while the lock is held.
    private static let maxVisits = 128

    /// Begins a walk through probation and then main, each from its head. `end` must follow. Nil if another walk is
    /// under way.
    func beginWalk(ofImage image: UInt16) -> Walk? {
        lock.withLock {
            guard !state.pointee.isWalking else { return nil }
            state.pointee.isWalking = true
            let queues = images + Int(image)
            state.pointee.walked = queues.pointee.probation.head
            return Walk(
                image: image, generation: queues.pointee.generation, flexpages: queues.pointee.flexpages,
                length: queues.pointee.probation.flexpages)
        }
    }

    func end(_ walk: consuming Walk) {
        lock.withLock {
            state.pointee.isWalking = false
            state.pointee.walked = .none
        }
    }

    /// Visits the next flexpages. O(1).
    /// - Returns: False if there are no more: the walk is at its end, or another image has the number.
    func step(_ walk: inout Walk, _ body: (Visit) -> Void) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let queues = images + Int(walk.image)
        guard queues.pointee.generation == walk.generation else { return false }
        for _ in 0..<PageQueue.maxVisits {
            let id = state.pointee.walked
            // Those that come to the tail meanwhile do not keep the walk from its end.
            guard id != .none, walk.visits < 2 * walk.length else { return turnLocked(&walk, queues) }
            body(visitLocked(id, walk))
            walk.visits += 1
            state.pointee.walked = table[id].pointee.next
        }
        return true
    }

    private func visitLocked(_ id: FlexpageID, _ walk: Walk) -> Visit {
        assert(table[id].pointee.queue == walk.name, "a walk stays on its queue")
        let hits = PageState(table.word(id).pointee.state.load(ordering: .relaxed)).hits
        let warmth = ResidentRun.warmth(of: walk.name, hits: hits, isNewer: walk.visits >= walk.length / 2)
        return Visit(page: table[id].pointee.key.page, order: table[id].pointee.order, warmth: warmth)
    }

    /// The walk has come to the end of a queue.
    /// - Returns: Whether it goes on to another one.
    private func turnLocked(_ walk: inout Walk, _ queues: UnsafeMutablePointer<ImageQueues>) -> Bool {
        guard walk.name == .probation else { return false }
        walk.name = .main
        walk.visits = 0
        walk.length = queues.pointee.main.flexpages
        state.pointee.walked = queues.pointee.main.head
        return true
    }

    /// Queues flexpages of one image that have been read because they were resident once: the `count` that `flexpage`
    /// names, each where its warmth belongs.
    func append(count: Int, warm: WarmPages, _ flexpage: (Int) -> FlexpageID) {
        lock.lock()
        defer { lock.unlock() }
        guard count > 0 else { return }
        for index in 0..<count {
            let id = flexpage(index)
            linkLocked(id, to: ResidentRun.queue(ofWarmth: warm.warmth(of: table[id].covered)))
        }
        aimLocked(table[flexpage(0)].pointee.key.image)
    }
}
