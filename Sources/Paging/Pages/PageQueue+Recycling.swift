/// Which flexpage is recycled next.
///
/// `nextCandidate` is O(1) amortised, because each step takes a hit back, moves a page on for good, or ends.
extension PageQueue {
    /// The maximum number of pages not yet durable that a search passes over, because they are the last to be recycled.
    private static let maxPassedOver = 64
    /// The other queue is tried after this number of pages in use or dirty at the head of one queue. With 40 % of 128
    /// MiB dirty, a miss that went through all of probation first took ten times as long.
    private static let patience = 32

    /// A flexpage in the hand of a recycler, and the queue that it came from.
    struct Candidate {
        let id: FlexpageID
        let from: Name
        let key: PageKey
    }

    /// Takes off the queue the flexpage to be recycled next, and passes over those in use or dirty. Nil if eight rounds
    /// found none.
    func nextCandidate() -> Candidate? {
        lock.lock()
        defer { lock.unlock() }
        // A round visits each page. Three rounds take hits back, in either queue. The last two find what is left,
        // durable or not. Otherwise, among many dirty pages, one that is not durable yet would be passed over for ever.
        let flexpages = state.pointee.probation.flexpages + state.pointee.main.flexpages
        let maxUnsynced = min(PageQueue.maxPassedOver, flexpages)
        var visits = flexpages * 8
        // If all of one queue is in use or dirty, the other one serves: idle pages must not be out of reach.
        var passedOver = (probation: 0, main: 0)
        var unsynced = 0
        while visits > 0 {
            visits -= 1
            let name = queueToTakeFromLocked(passedOver.probation, passedOver.main)
            guard name != .none else { return nil }
            let id = name == .main ? state.pointee.main.head : state.pointee.probation.head
            let word = PageState(table.word(id).pointee.state.load(ordering: .relaxed))
            if word.hits > 0 {
                advanceLocked(id, name)
            } else if !word.isRecyclable
                || word.has(PageState.unsynced) && unsynced < maxUnsynced && visits >= flexpages * 2
            {
                if word.has(PageState.unsynced) { unsynced += 1 }
                // It keeps its time.
                unlinkLocked(id)
                appendLocked(id, to: name)
                if name == .main { passedOver.main += 1 } else { passedOver.probation += 1 }
            } else {
                return takeLocked(id, from: name)
            }
        }
        return nil
    }

    /// The queue whose turn it is, or the other one as long as the search has passed more rounds of the first in vain.
    private func queueToTakeFromLocked(_ passedOverInProbation: Int, _ passedOverInMain: Int) -> Name {
        if state.pointee.main.head == .none { return state.pointee.probation.head == .none ? .none : .probation }
        if state.pointee.probation.head == .none { return .main }
        guard passedOverInProbation | passedOverInMain != 0 else {
            return state.pointee.probation.frames > probationTarget ? .probation : .main
        }
        let rounds = (
            probation: passedOverInProbation / min(PageQueue.patience, state.pointee.probation.flexpages),
            main: passedOverInMain / min(PageQueue.patience, state.pointee.main.flexpages)
        )
        if rounds.probation != rounds.main { return rounds.probation < rounds.main ? .probation : .main }
        return state.pointee.probation.frames > probationTarget ? .probation : .main
    }

    /// A page with hits at the head: from probation it is promoted, in main it has another round for one hit less.
    private func advanceLocked(_ id: FlexpageID, _ name: Name) {
        let taken = name == .probation ? PageState.hitMask : PageState.hit
        if name == .probation {
            table.word(id).pointee.state.bitwiseAnd(~taken, ordering: .relaxed)
        } else {
            table.word(id).pointee.state.wrappingSubtract(taken, ordering: .relaxed)
        }
        unlinkLocked(id)
        linkLocked(id, to: .main)
    }

    private func takeLocked(_ id: FlexpageID, from name: Name) -> Candidate {
        unlinkLocked(id)
        let key = table[id].pointee.key
        if name == .probation {
            for page in table[id].covered {
                state.pointee.ghosts.insert(PageKey(image: key.image, page: page))
            }
        }
        return Candidate(id: id, from: name, key: key)
    }
}
