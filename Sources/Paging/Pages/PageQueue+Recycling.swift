/// Which flexpage is recycled next.
///
/// `nextCandidate` is O(1) amortised, as each step takes a hit back, moves a page on for good, or ends.
extension PageQueue {
    /// Pages not yet durable are recycled last: so many are passed over in a search.
    private static let maxPassedOver = 64
    /// After so many pages in use or dirty at the head of one queue the other one is tried: with 40 % of 128 MiB dirty
    /// a miss that went through all of probation first took ten times as long.
    private static let patience = 32

    /// A flexpage in the hands of a recycler, and the queue that it came from.
    struct Candidate {
        let id: FlexpageID
        let from: Name
        let key: PageKey
    }

    /// Takes the flexpage to be recycled next off the queue, passing over those in use or dirty, or nil where one round
    /// found none.
    func nextCandidate() -> Candidate? {
        lock.lock()
        defer { lock.unlock() }
        // A round visits each page. Three rounds take hits back, in either queue; two more find what is left, whether
        // it is durable or not: among many dirty pages one that is not durable yet would otherwise be passed over for
        // ever.
        let flexpages = state.pointee.probation.flexpages + state.pointee.main.flexpages
        let maxUnsynced = min(PageQueue.maxPassedOver, flexpages)
        var visits = flexpages * 8
        // Where all of the one queue is in use or dirty, the other serves: idle pages must not be out of reach.
        var passedOver = (probation: 0, main: 0)
        var unsynced = 0
        while visits > 0 {
            visits -= 1
            let name = queueToTakeFrom(passedOver.probation, passedOver.main)
            guard name != .none else { return nil }
            let id = name == .main ? state.pointee.main.head : state.pointee.probation.head
            let word = PageState(table.word(id).pointee.state.load(ordering: .relaxed))
            if word.hits > 0 {
                advance(id, name)
            } else if !word.isRecyclable
                || word.has(PageState.unsynced) && unsynced < maxUnsynced && visits >= flexpages * 2
            {
                if word.has(PageState.unsynced) { unsynced += 1 }
                // It keeps its place in time.
                unlink(id)
                append(id, to: name)
                if name == .main { passedOver.main += 1 } else { passedOver.probation += 1 }
            } else {
                return candidate(id, from: name)
            }
        }
        return nil
    }

    /// The queue whose turn it is, or the other one as long as that one has been passed over in vain oftener.
    private func queueToTakeFrom(_ passedOverInProbation: Int, _ passedOverInMain: Int) -> Name {
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
    private func advance(_ id: FlexpageID, _ name: Name) {
        let taken = name == .probation ? PageState.hitMask : PageState.hit
        if name == .probation {
            table.word(id).pointee.state.bitwiseAnd(~taken, ordering: .relaxed)
        } else {
            table.word(id).pointee.state.wrappingSubtract(taken, ordering: .relaxed)
        }
        unlink(id)
        link(id, to: .main)
    }

    private func candidate(_ id: FlexpageID, from name: Name) -> Candidate {
        unlink(id)
        let key = table[id].pointee.key
        if name == .probation {
            for page in table[id].covered {
                state.pointee.ghosts.insert(PageKey(image: key.image, page: page))
            }
        }
        return Candidate(id: id, from: name, key: key)
    }
}
