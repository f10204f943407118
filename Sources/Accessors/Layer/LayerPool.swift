import Glibc
import Paging

/// The contexts of one layer: lends them to calls, opens them, and opens them anew when the layer has gone away.
///
///     empty ── lend: open ──▶ free ◀── giveBack ──▶ lent ── a call and the probe after it fail ──▶ broken
///       ▲  ▲                   │ close                                                               │
///       │  └───────────────────┘                                                                     │
///       └──────────────────────────── the last call in it has ended: close ──────────────────────────┘
///
/// **How many calls at once.** `Layer.model` and `isMultiConn` decide how many contexts there are, and how many calls
/// each is lent to. A layer whose contexts do not see each other's writes has one.
///
/// **A call that fails.** The errno value says little: many layers have none to give on a thread that is not a
/// connection's. ENOSPC, EDQUOT, EROFS, EPERM and EOPNOTSUPP concern the request, and ESHUTDOWN the whole server. After
/// any other error one short read decides: if it succeeds, the error is the request's; if not, the layer has gone away.
/// Then the context is closed, and the call is made again in another one, for at most `retryTime`. Between two attempts
/// to open one lie 50 ms to 2 s.
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
    private let log: @Sendable (String) -> Void
    let properties: LayerProperties
    // Internal only because the extensions are files of their own.
    let maxCalls: Int
    let slotCount: Int
    let state: Monitored<State>

    /// Opens the first context.
    /// - Parameter contexts: The maximum number of contexts.
    /// - Parameter retryTime: How long a call waits for a layer that has gone away, milliseconds.
    /// - Returns: Nil if the layer has no context to give. It has logged why.
    init?(
        _ layer: any Layer, exportName: String, isReadOnly: Bool, contexts: Int, retryTime: Int,
        log: @escaping @Sendable (String) -> Void
    ) {
        guard let first = layer.open(exportName: exportName, isReadOnly: isReadOnly) else { return nil }
        self.layer = layer
        self.exportName = exportName
        self.isReadOnly = isReadOnly
        self.retryTime = retryTime
        self.log = log
        properties = first.properties
        let hasOneEach = layer.model == .oneCallAContext && (first.properties.isMultiConn || !first.properties.canWrite)
        maxCalls = layer.model == .parallel ? .max : 1
        var slots = [Slot](repeating: Slot(), count: hasOneEach ? max(1, contexts) : 1)
        slotCount = slots.count
        slots[0].context = first
        state = Monitored(State(slots: slots))
    }

    /// Closes all contexts. No call is under way, and none comes.
    func close() {
        let contexts = state.change { state in
            let contexts = state.slots.compactMap(\.context)
            state.slots = state.slots.map { _ in Slot() }
            state.isOver = true
            return contexts
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
        /// A flush. If it has failed, whether nobody is told of that whose changes are gone.
        case flush
        case failedFlush(isUntold: Bool)
    }

    /// Makes a call in some context, and again in another one if the layer has gone away meanwhile.
    /// - Throws: The error of the call; EIO if the layer does not come back in time.
    func perform(
        _ effect: Effect = .none, _ call: (any LayerContext) throws(AccessError) -> Void
    ) throws(AccessError) {
        let begin = MonotonicTime.now
        var deadline: Int?
        while let lent = lend(effect, from: begin, until: deadline) {
            do throws(AccessError) {
                try call(lent.context)
                giveBack(lent, effect, isGood: true)
                return
            } catch {
                if isOfRequest(error) || answers(lent.context) {
                    giveBack(lent, effect, isGood: true)
                    throw error
                }
                // What it may have changed, it changes again.
                giveBack(lent, .none, isGood: false)
                deadline = deadline ?? MonotonicTime.now + retryTime
            }
        }
        throw AccessError(EIO)
    }

    /// Remembers where a read has succeeded.
    func noteGoodRead(at offset: Int64) {
        state.withLock { $0.goodOffset = offset / Int64(properties.minBlock) * Int64(properties.minBlock) }
    }

    func isOfRequest(_ error: AccessError) -> Bool {
        switch error.code {
        case ENOSPC, EDQUOT, EROFS, EPERM, EOPNOTSUPP, ESHUTDOWN: true
        default: false
        }
    }

    /// Whether the layer is there. What has been good once may have become bad, so the first and the last block are
    /// asked for too.
    func answers(_ context: any LayerContext) -> Bool {
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

    /// - Parameter begin: When the call began.
    /// - Parameter deadline: When a call that has failed before is given up; nil if it has not.
    private func lend(_ effect: Effect, from begin: Int, until deadline: Int?) -> Lent? {
        var mayOpenLate = deadline == nil
        while true {
            switch nextStep(effect, from: begin, until: deadline, mayOpenLate: mayOpenLate) {
            case .lent(let lent): return lent
            case .open(let slot):
                mayOpenLate = false
                open(slot)
            case .none: return nil
            }
        }
    }

    /// - Parameter mayOpenLate: Whether a context may be opened though the layer is not waited for any more. Without
    ///   that, nobody would find out that it is back.
    private func nextStep(_ effect: Effect, from begin: Int, until deadline: Int?, mayOpenLate: Bool) -> Step {
        state.wait { state in
            if state.isOver { return .done(.none) }
            if let deadline, MonotonicTime.now >= deadline { return .done(.none) }
            if let slot = state.slots.firstIndex(where: { $0.context != nil && !$0.isBroken && $0.calls < maxCalls }) {
                return .done(.lent(state.lend(slot)))
            }
            let now = MonotonicTime.now
            let end = min(deadline ?? .max, state.isAway ? patience(effect, from: begin, state) : .max)
            guard
                let slot = state.slots.firstIndex(where: {
                    $0.context == nil && !$0.isOpening && $0.refusedUntil <= now
                })
            else {
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
    private func patience(_ effect: Effect, from begin: Int, _ state: State) -> Int {
        let end = state.awaySince + retryTime
        guard case .none = effect else { return end }
        return max(end, begin + min(retryTime, LayerPool.pauses.upperBound))
    }

    func giveBack(_ lent: Lent, _ effect: Effect, isGood: Bool) {
        let (broken, news) = state.change { state -> ((any LayerContext)?, News?) in
            state.slots[lent.slot].calls -= 1
            state.note(effect, in: lent.slot)
            let news = isGood ? state.noteAnswer(since: lent.absences) : state.noteSilence(of: lent.slot)
            guard state.slots[lent.slot].isBroken, state.slots[lent.slot].calls == 0 else { return (nil, news) }
            let context = state.slots[lent.slot].context
            // Nobody opens another one before this one is closed: a layer may bear one only.
            state.slots[lent.slot] = Slot(isOpening: true)
            return (context, news)
        }
        if let broken {
            broken.close()
            state.change { $0.slots[lent.slot].isOpening = false }
        }
        tell(news)
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
    private func open(_ slot: Int) {
        let context = layer.open(exportName: exportName, isReadOnly: isReadOnly)
        let found = context?.properties
        let (isTaken, news) = state.change { state -> (Bool, News?) in
            state.slots[slot].isOpening = false
            guard let context, let found else { return (false, state.noteRefusal(of: slot)) }
            guard !state.isOver else { return (false, nil) }
            guard found.size == properties.size else {
                state.isOver = true
                return (false, .other(found.size))
            }
            guard found.canDoAll(of: properties) else { return (false, state.noteLess(of: slot)) }
            state.slots[slot].context = context
            if !state.isAway { state.nextAttempt = 0 }
            return (true, nil)
        }
        if !isTaken { context?.close() }
        tell(news)
    }
}
