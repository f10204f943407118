import Glibc
import Paging

/// The contexts of one layer: lends them to calls, opens them, and opens them anew when the layer has gone away.
///
///     empty ── lend: open ──▶ good ◀── giveBack, lend
///       ▲                      │
///       │                      ├── a call and the probe after it fail ──────────────▶ broken
///       │                      │                                                       │ ▲
///       │                      └── a call fails, and the probe ──▶ doubtful            │ │ its flush fails
///       │                          after it proves nothing            │                │ │
///       │                                                             ├──────────────────┘
///       └── the last call in it has ended: flush if it is doubtful, close ─────────────┘
///
/// A call in a context that gets no more of them may hang, and so may closing it. If the layer bears several contexts,
/// another one is opened at once, as long as no more than `maxLeaving` are on their way out. If it bears one only,
/// calls wait until that is closed. If its contexts do not see each other's writes, calls wait until one that is
/// doubtful is flushed.
///
/// **How many calls at once.** `Layer.model` and `isMultiConn` decide how many contexts there are, and how many calls
/// each is lent to. A layer whose contexts do not see each other's writes has one.
///
/// **A call that fails.** The errno value says little: many layers have none to give on a thread that is not a
/// connection's. ENOSPC, EDQUOT, EROFS, EPERM and EOPNOTSUPP concern the request, and ESHUTDOWN the whole server. After
/// any other error a short read is the probe. If it fails, the layer has gone away. Then the context is closed, and the
/// call is made again in another one, for at most `retryTime`. Between two attempts to open one lie 50 ms to 2 s.
///
/// A probe that succeeds proves little: a cache below may hold what it reads, though the layer is gone. So it counts
/// only in a context that is younger than `trustTime`, or was opened since the call was first made. Any other context
/// is doubtful then: it gets no more calls, is flushed and closed, and the call is made again in a new one. If the
/// error comes again there, it is the request's own. A bad block costs one more context every two seconds.
///
/// A layer that has been away for longer than `retryTime` is not waited for: changes fail at once, and reads after the
/// next attempt. A layer that is only slow is waited for as long as it takes.
///
/// **What a new context may have forgotten.** A layer that went away may have lost what was written there and not
/// flushed. So the first flush after that fails with ESTALE, and the pager writes again what it still has
/// (`Accessor.makeDurable`).
///
/// **A layer of another size** is another image. Nothing is read or written any more, and one line says so. A layer
/// that comes back and can do less than before, because it is read-only for example, stays away until it can do all
/// that.
///
/// Thread rules: any thread. No lock is held during a call of the layer. A call allocates nothing; opening does.
final class LayerPool: Sendable {
    private let layer: any Layer
    private let exportName: String
    private let isReadOnly: Bool
    private let retryTime: Int
    private let trustTime: Int
    private let log: @Sendable (String) -> Void
    let properties: LayerProperties
    // Internal only because the extensions are files of their own.
    let maxCalls: Int
    /// How many contexts get calls, at most. There are more slots.
    private let maxContexts: Int
    let slotCount: Int
    let state: Monitored<State>

    /// How many contexts may be on their way out while others are in use.
    static let maxLeaving = 4

    /// Opens the first context.
    /// - Parameter contexts: The maximum number of contexts.
    /// - Parameter retryTime: How long a call waits for a layer that has gone away, milliseconds.
    /// - Parameter trustTime: How old a context may be for a probe in it to count, milliseconds.
    /// - Returns: Nil if the layer has no context to give. It has logged why.
    init?(
        _ layer: any Layer, exportName: String, isReadOnly: Bool, contexts: Int, retryTime: Int, trustTime: Int = 2000,
        log: @escaping @Sendable (String) -> Void
    ) {
        guard let first = layer.open(exportName: exportName, isReadOnly: isReadOnly) else { return nil }
        self.layer = layer
        self.exportName = exportName
        self.isReadOnly = isReadOnly
        self.retryTime = retryTime
        self.trustTime = trustTime
        self.log = log
        properties = first.properties
        let isPrivate = first.properties.canWrite && !first.properties.isMultiConn
        maxCalls = layer.model == .parallel ? .max : 1
        maxContexts = layer.model == .oneCallAContext && !isPrivate ? max(1, contexts) : 1
        let bearsOne = layer.model == .oneCall || layer.model == .oneConnection
        slotCount = maxContexts + (bearsOne ? 0 : LayerPool.maxLeaving)
        var state = State(isPrivate: isPrivate, slots: [Slot](repeating: Slot(), count: slotCount))
        state.put(first, in: 0)
        self.state = Monitored(state)
    }

    /// How long the end waits for contexts that leave already, milliseconds.
    private static let patienceAtEnd = 10_000

    /// Closes all contexts. No call is under way, and none comes.
    func close() {
        let end = MonotonicTime.now + LayerPool.patienceAtEnd
        let contexts = state.wait { state -> Monitored<State>.Wish<[any LayerContext]> in
            state.isOver = true
            guard state.threads == 0 || MonotonicTime.now >= end else { return .later(end) }
            let contexts = state.slots.filter { $0.calls == 0 }.compactMap(\.context)
            state.slots = state.slots.map { _ in Slot() }
            return .done(contexts)
        }
        for context in contexts { context.close() }
    }

    /// Whether the layer has gone away, and has not answered since.
    var isAway: Bool { state.withLock { $0.isAway } }

    /// Whether it serves no more: it has become another image, or it has been closed.
    var isOver: Bool { state.withLock { $0.isOver } }

    // MARK: - Calls

    /// What a call does to the layer.
    enum Effect {
        case none
        case change
        /// A flush that has failed: whether nobody is told of that whose changes are gone.
        case failedFlush(isUntold: Bool)
    }

    /// What the end of a call says of the layer.
    enum Outcome {
        /// It is there. The call has succeeded, or its error is its own.
        case answer
        /// It has gone away.
        case silence
        /// It is unknown whether it is there.
        case doubt
        /// The same, and a flush has failed: no other is tried in this context.
        case failedFlush
    }

    /// How a call looks for a context.
    struct Search {
        let effect: Effect
        /// When the call began.
        let begin = MonotonicTime.now
        /// When it is given up, if it has failed before.
        var deadline: Int?
        /// Only contexts that were opened after this one will do, because an older one has been doubtful.
        var newerThan: UInt64 = 0
    }

    /// Makes a call in some context, and again in another one if the layer has gone away meanwhile.
    /// - Throws: The error of the call; EIO if the layer does not come back in time.
    func perform(
        _ effect: Effect = .none, _ call: (any LayerContext) throws(AccessError) -> Void
    ) throws(AccessError) {
        var search = Search(effect: effect)
        while let lent = lend(search) {
            do throws(AccessError) {
                try call(lent.context)
                giveBack(lent, effect, .answer)
                return
            } catch {
                let outcome = outcome(of: error, in: lent, search)
                // What it may have changed, it changes again.
                giveBack(lent, outcome == .answer ? effect : .none, outcome)
                if outcome == .answer { throw error }
                search = next(search, after: outcome, in: lent)
            }
        }
        throw AccessError(EIO)
    }

    /// How to go on after a call that is to be made again.
    func next(_ search: Search, after outcome: Outcome, in lent: Lent) -> Search {
        var search = search
        search.deadline = search.deadline ?? MonotonicTime.now + retryTime
        if outcome != .silence, search.newerThan == 0 { search.newerThan = lent.openings }
        return search
    }

    /// Remembers where a read has succeeded.
    func noteGoodRead(at offset: Int64) {
        state.withLock { $0.goodOffset = offset / Int64(properties.minBlock) * Int64(properties.minBlock) }
    }

    /// What an error says. Asks the layer, unless the error says enough by itself.
    func outcome(of error: AccessError, in lent: Lent, _ search: Search) -> Outcome {
        if isOfRequest(error) { return .answer }
        guard answers(lent.context) else { return .silence }
        let isNew = search.newerThan > 0 && lent.number > search.newerThan
        return isNew || MonotonicTime.now - lent.openedAt < trustTime ? .answer : .doubt
    }

    private func isOfRequest(_ error: AccessError) -> Bool {
        switch error.code {
        case ENOSPC, EDQUOT, EROFS, EPERM, EOPNOTSUPP, ESHUTDOWN: true
        default: false
        }
    }

    /// The probe: whether a block can be read. What has been good once may have become bad, so the first and the last
    /// one are asked for too.
    private func answers(_ context: any LayerContext) -> Bool {
        let last = max(0, properties.size - 1) / Int64(properties.minBlock) * Int64(properties.minBlock)
        return answers(context, at: state.withLock { $0.goodOffset })
            || answers(context, at: 0) || answers(context, at: last)
    }

    private func answers(_ context: any LayerContext, at offset: Int64) -> Bool {
        let count = Int(min(Int64(properties.minBlock), properties.size - offset))
        guard count > 0 else { return true }
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 4096) { buffer in
            (try? context.read(into: buffer, at: offset)) != nil
        }
    }

    // MARK: - Lending

    private enum Step {
        case lent(Lent)
        case open(slot: Int)
        case none
    }

    func lend(_ search: Search) -> Lent? {
        var mayOpenLate = search.deadline == nil
        while true {
            switch nextStep(search, mayOpenLate: mayOpenLate) {
            case .lent(let lent): return lent
            case .open(let slot):
                mayOpenLate = false
                open(slot, for: search)
            case .none: return nil
            }
        }
    }

    /// - Parameter mayOpenLate: Whether a context may be opened though the layer is not waited for any more. Without
    ///   that, nobody would find out that it is back.
    private func nextStep(_ search: Search, mayOpenLate: Bool) -> Step {
        state.wait { state in
            if state.isOver { return .done(.none) }
            let now = MonotonicTime.now
            if let deadline = search.deadline, now >= deadline { return .done(.none) }
            if let slot = state.slots.firstIndex(where: { $0.isFree(maxCalls) && $0.number > search.newerThan }) {
                return .done(.lent(state.lend(slot)))
            }
            let end = min(search.deadline ?? .max, state.isAway ? patience(search, state) : .max)
            guard let slot = state.slotToOpen(maxContexts, search.newerThan, now) else {
                // Contexts that are in use come back.
                guard end < .max else { return .later(nil) }
                return now < end ? .later(end) : .done(.none)
            }
            guard now >= state.nextAttempt else {
                return now < end ? .later(min(end, state.nextAttempt)) : .done(.none)
            }
            guard now < end || mayOpenLate else { return .done(.none) }
            state.slots[slot].isOpening = true
            // If the layer is away, the others wait to see what comes of it.
            if state.isAway { state.nextAttempt = now + state.pause }
            return .done(.open(slot: slot))
        }
    }

    /// When a call gives up that came while the layer was away. Whoever writes comes again anyway.
    private func patience(_ search: Search, _ state: State) -> Int {
        let end = state.awaySince + retryTime
        guard case .none = search.effect else { return end }
        return max(end, search.begin + min(retryTime, LayerPool.pauses.upperBound))
    }

    func giveBack(_ lent: Lent, _ effect: Effect, _ outcome: Outcome) {
        let (end, news) = state.change { state -> (End, News?) in
            state.slots[lent.slot].calls -= 1
            if lent.isFlush { state.slots[lent.slot].isFlushing = false }
            state.note(effect, in: lent.slot)
            let news = state.note(outcome, of: lent)
            return (state.end(of: lent.slot), news)
        }
        tell(news)
        if case .none = end { return }
        // Each may hang.
        state.withLock { $0.threads += 1 }
        let hasBegun = DetachedThread.run { self.finish(end, lent.slot) }
        if !hasBegun { finish(end, lent.slot) }
    }

    /// Does what is left to be done with a context that gets no more calls.
    private func finish(_ end: End, _ slot: Int) {
        switch end {
        case .none: break
        case .flush: flushDoubtful(slot)
        case .close(let context):
            context.close()
            state.change { $0.slots[slot].isClosing = false }
        }
        state.change { $0.threads -= 1 }
    }

    private func tell(_ news: News?) {
        switch news {
        case .away:
            let patience = "requests wait at most \(retryTime / 1000) seconds"
            log("\(layer.label) does not answer; it is opened anew, and \(patience)")
        case .back: log("\(layer.label) answers again")
        case .less: log("\(layer.label) came back and can do less than before; it is waited for as if it were away")
        case .other(let size):
            log(
                "\(layer.label) came back with \(size) bytes, and had \(properties.size): that is another image; "
                    + "nothing is read from it or written to it until the server is started anew")
        case nil: break
        }
    }

    // MARK: - Opening

    /// Opens a context for a slot. A failure is for the next attempt.
    private func open(_ slot: Int, for search: Search) {
        let context = layer.open(exportName: exportName, isReadOnly: isReadOnly)
        let found = context?.properties
        let (isTaken, news) = state.change { state -> (Bool, News?) in
            state.slots[slot].isOpening = false
            guard let context, let found else { return (false, state.noteRefusal(search.newerThan)) }
            guard !state.isOver else { return (false, nil) }
            guard found.size == properties.size else {
                state.isOver = true
                return (false, .other(found.size))
            }
            guard found.canDoAll(of: properties) else { return (false, state.noteLess(search.newerThan)) }
            state.put(context, in: slot)
            if !state.isAway { state.nextAttempt = 0 }
            return (true, nil)
        }
        if !isTaken {
            context?.close()
            doubt(upTo: search.newerThan)
        }
        tell(news)
    }

    /// Whoever has met a doubtful context gets no new one. So all that are as old are doubtful.
    private func doubt(upTo number: UInt64) {
        for lent in state.change({ $0.lendOld(upTo: number) }) { giveBack(lent, .none, .doubt) }
    }
}
