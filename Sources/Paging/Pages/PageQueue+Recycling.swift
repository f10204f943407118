/// Which flexpage is recycled next.
///
/// `nextCandidate` is O(1) amortised, because each step takes a hit back, moves a page on for good, or ends.
extension PageQueue {
    /// The maximum number of pages not yet durable that a search passes over, because they are the last to be recycled.
    private static let maxPassedOver = 64
    /// The other queue is tried after this number of pages in use or dirty at the head of one queue. With 40 % of 128
    /// MiB dirty, a miss that went through all of probation first took ten times as long.
    private static let patience = 32
    /// The other images are tried after this number of pages in use, dirty or not durable of one image. It is more than
    /// `maxPassedOver`: an image gives its pages that are not durable before others give of their reserves.
    private static let patienceWithImage = 2 * maxPassedOver
    /// A search visits each page at most this number of times.
    private static let maxRounds = 8

    /// A flexpage in the hand of a recycler, and the queue that it came from.
    struct Candidate {
        let id: FlexpageID
        let from: Name
        let key: PageKey
    }

    /// Takes off the queue the flexpage to be recycled next, and passes over those in use or dirty. It is of the image
    /// furthest above its reserve. If that one has none within `patienceWithImage`, the others are searched too, in the
    /// same order, again and again with more patience. Nil if eight rounds of all of them found none.
    func nextCandidate() -> Candidate? {
        lock.lock()
        defer { lock.unlock() }
        guard let image = state.pointee.shares.giver() else { return nil }
        guard state.pointee.shares.holders > 1 else { return searchLocked(image, patience: .max) }
        return searchLocked(image, patience: PageQueue.patienceWithImage) ?? searchAllLocked()
    }

    /// O(flexpages) if it finds none, and O(images log images). The order stays the same meanwhile: a search that finds
    /// nothing leaves every image what it has.
    private func searchAllLocked() -> Candidate? {
        let order = state.pointee.shares.inOrderOfGiving()
        var patience = PageQueue.patienceWithImage
        var isDone = false
        while !isDone {
            isDone = true
            for image in order {
                if let candidate = searchLocked(image, patience: patience) { return candidate }
                if patience < images[Int(image)].flexpages * PageQueue.maxRounds { isDone = false }
            }
            patience *= 4
        }
        return nil
    }

    /// The flexpage of `image` that is to be recycled next, taken off its queue. Nil if eight rounds found none, or
    /// after `patience` flexpages that are in use, dirty or not durable.
    private func searchLocked(_ image: UInt16, patience: Int) -> Candidate? {
        let queues = images + Int(image)
        aimLocked(image)
        // A round visits each page. Three rounds take hits back, in either queue. The last two find what is left,
        // durable or not. Otherwise, among many dirty pages, one that is not durable yet would be passed over for ever.
        let flexpages = queues.pointee.flexpages
        let maxUnsynced = min(PageQueue.maxPassedOver, flexpages)
        var visits = flexpages * PageQueue.maxRounds
        // If all of one queue is in use or dirty, the other one serves: idle pages must not be out of reach.
        var passedOver = (probation: 0, main: 0)
        var unsynced = 0
        while visits > 0, passedOver.probation + passedOver.main < patience {
            visits -= 1
            let name = queueToTakeFromLocked(queues, passedOver.probation, passedOver.main)
            guard name != .none else { return nil }
            let id = name == .main ? queues.pointee.main.head : queues.pointee.probation.head
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

    /// The queue of the image whose turn it is, or the other one as long as the search has passed more rounds of the
    /// first in vain.
    private func queueToTakeFromLocked(
        _ queues: UnsafeMutablePointer<ImageQueues>, _ passedOverInProbation: Int, _ passedOverInMain: Int
    ) -> Name {
        if queues.pointee.main.head == .none { return queues.pointee.probation.head == .none ? .none : .probation }
        if queues.pointee.probation.head == .none { return .main }
        let isProbationFull = queues.pointee.probation.frames > Int(queues.pointee.probationTarget)
        guard passedOverInProbation | passedOverInMain != 0 else { return isProbationFull ? .probation : .main }
        let rounds = (
            probation: passedOverInProbation / min(PageQueue.patience, queues.pointee.probation.flexpages),
            main: passedOverInMain / min(PageQueue.patience, queues.pointee.main.flexpages)
        )
        if rounds.probation != rounds.main { return rounds.probation < rounds.main ? .probation : .main }
        return isProbationFull ? .probation : .main
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

    @inline(__always)
    private func takeLocked(_ id: FlexpageID, from name: Name) -> Candidate {
        unlinkLocked(id)
        let key = table[id].pointee.key
        state.pointee.shares.took(table[id].pages, from: key.image)
        if name == .probation {
            let generation = images[Int(key.image)].generation
            for page in table[id].covered {
                state.pointee.ghosts.insert(PageKey(image: key.image, page: page), generation)
            }
        }
        return Candidate(id: id, from: name, key: key)
    }
}
