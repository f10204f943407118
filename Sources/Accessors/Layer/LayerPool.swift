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
/// to open one lie 50 ms to 2 s. If the layer has been away for longer than `retryTime`, a call waits for one attempt.
///
/// **What a new context may have forgotten.** A layer that went away may have lost what was written there and not
/// flushed. So the first flush after that fails with ESTALE, and the pager writes again what it still has
/// (`Accessor.makeDurable`).
///
/// **A layer with other properties**, its size above all, is another image. Nothing is read or written any more, and
/// one line says so.
///
/// Thread rules: any thread. No lock is held during a call of the layer. A call allocates nothing; opening does.
final class LayerPool: Sendable {
    private let layer: any Layer
    private let exportName: String
    private let isReadOnly: Bool
    private let retryTime: Int
    private let log: @Sendable (String) -> Void
    let properties: LayerProperties
    private let maxCalls: Int
    private let slotCount: Int
    private let state: Monitored<State>

    /// The shortest and the longest pause between two attempts to open a context, milliseconds.
    fileprivate static let pauses = 50...2000

    fileprivate struct Slot {
        var context: (any LayerContext)?
        var calls = 0
        var isBroken = false
        /// A thread opens a context for it, or closes the one that it had.
        var isOpening = false
        /// The layer gives fewer contexts than are wanted.
        var isRefused = false
        /// A call that has changed something through it has returned since its last flush began.
        var isUnflushed = false
    }

    fileprivate struct State {
        var slots: [Slot]
        /// When a context may be opened, after failures: milliseconds of MonotonicTime.
        var nextAttempt = 0
        var pause = LayerPool.pauses.lowerBound
        /// How often what was not flushed may have been forgotten.
        var losses: UInt64 = 0
        var lossesTold: UInt64 = 0
        /// Where a read succeeded last: where to read in order to know whether the layer is there.
        var goodOffset: Int64 = 0
        /// When the layer went away, which the log says: milliseconds of MonotonicTime; nil if it is there.
        var awaySince: Int?
        var isAway: Bool { awaySince != nil }
        /// It has come back as another image, or it has been closed.
        var isOver = false
    }

    private struct Lent {
        let slot: Int
        let context: any LayerContext
    }

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
    }

    /// Makes a call in some context, and again in another one if the layer has gone away meanwhile.
    /// - Throws: The error of the call; EIO if the layer does not come back within `retryTime`.
    func perform(
        _ effect: Effect = .none, _ call: (any LayerContext) throws(AccessError) -> Void
    ) throws(AccessError) {
        let begin = MonotonicTime.now
        while let lent = lend(since: begin) {
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
            }
        }
        throw AccessError(EIO)
    }

    /// Remembers where a read has succeeded.
    func noteGoodRead(at offset: Int64) {
        state.withLock { $0.goodOffset = offset / Int64(properties.minBlock) * Int64(properties.minBlock) }
    }

    private func isOfRequest(_ error: AccessError) -> Bool {
        switch error.code {
        case ENOSPC, EDQUOT, EROFS, EPERM, EOPNOTSUPP, ESHUTDOWN: true
        default: false
        }
    }

    /// Whether the layer is there.
    private func answers(_ context: any LayerContext) -> Bool {
        let offset = state.withLock { $0.goodOffset }
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

    private func lend(since begin: Int) -> Lent? {
        while true {
            switch nextStep(since: begin) {
            case .lent(let lent): return lent
            case .open(let slot): open(slot)
            case .none: return nil
            }
        }
    }

    /// When a call that began at `begin` fails, if the layer is still away then.
    private func deadline(_ begin: Int, _ state: State) -> Int {
        let patience = begin + retryTime
        guard let awaySince = state.awaySince else { return patience }
        return min(patience, max(awaySince + retryTime, begin + 2 * LayerPool.pauses.upperBound))
    }

    private func nextStep(since begin: Int) -> Step {
        state.wait { state in
            let deadline = deadline(begin, state)
            if state.isOver { return .done(.none) }
            if let slot = state.slots.firstIndex(where: { $0.context != nil && !$0.isBroken && $0.calls < maxCalls }) {
                state.slots[slot].calls += 1
                return .done(.lent(Lent(slot: slot, context: state.slots[slot].context!)))
            }
            let now = MonotonicTime.now
            if now >= deadline { return .done(.none) }
            guard let slot = state.slots.firstIndex(where: { $0.context == nil && !$0.isOpening && !$0.isRefused })
            else { return .later(state.isAway ? deadline : nil) }
            guard now >= state.nextAttempt else { return .later(min(deadline, state.nextAttempt)) }
            state.slots[slot].isOpening = true
            // If the layer is away, the others wait to see what comes of it.
            if state.isAway { state.nextAttempt = now + state.pause }
            return .done(.open(slot: slot))
        }
    }

    /// - Parameter effect: What is to be flushed from now on.
    /// - Parameter isGood: Whether the layer is there.
    private func giveBack(_ lent: Lent, _ effect: Effect, isGood: Bool) {
        let (broken, news) = state.change { state -> ((any LayerContext)?, News?) in
            state.slots[lent.slot].calls -= 1
            if effect == .change { state.noteChange(in: lent.slot) }
            let news = isGood ? state.noteAnswer() : state.noteSilence(of: lent.slot)
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

    fileprivate enum News {
        case away, back
        /// Another image has come in its place, with this many bytes.
        case other(Int64)
    }

    private func tell(_ news: News?) {
        switch news {
        case .away:
            let patience = "requests wait at most \(retryTime / 1000) seconds"
            log("\(layer.label) does not answer; it is opened anew, and \(patience)")
        case .back: log("\(layer.label) answers again")
        case .other(let size):
            let how = size == properties.size ? "other properties" : "\(size) bytes, and had \(properties.size)"
            log(
                "\(layer.label) came back with \(how): that is another image; all requests fail until clients connect "
                    + "anew")
        case nil: break
        }
    }

    // MARK: - Opening

    /// Opens a context for a slot. A failure is for the next attempt.
    private func open(_ slot: Int) {
        let context = layer.open(exportName: exportName, isReadOnly: isReadOnly)
        let isOther = context.map { $0.properties != properties } ?? false
        let news = state.change { state -> News? in
            state.slots[slot].isOpening = false
            guard let context else { return state.noteRefusal(of: slot) }
            guard !isOther, !state.isOver else {
                state.isOver = true
                return .other(context.properties.size)
            }
            state.slots[slot].context = context
            state.nextAttempt = 0
            return nil
        }
        if isOther || isOver { context?.close() }
        tell(news)
    }

    // MARK: - Flushes

    /// Makes durable what calls that returned before have changed, in every context that has changed something.
    /// - Throws: The error of a context that is still there; ESTALE, once, if the layer went away with changes that
    ///   were not flushed.
    func flush() throws(AccessError) {
        for slot in 0..<slotCount { try flush(slot) }
        let isLost = state.change { state in
            defer { state.lossesTold = state.losses }
            return state.losses != state.lossesTold
        }
        if isLost { throw AccessError(ESTALE) }
    }

    /// The same for changes that the caller makes again if `losses` has grown. What other calls may have lost is still
    /// to be told.
    func flushContexts() throws(AccessError) {
        do throws(AccessError) {
            for slot in 0..<slotCount { try flush(slot) }
        } catch {
            // The layer reports a failed flush once. It may concern what other calls have written.
            state.withLock { $0.losses += 1 }
            throw error
        }
    }

    /// How often changes that were not flushed may have been forgotten. It only ever grows.
    var losses: UInt64 { state.withLock { $0.losses } }

    private func flush(_ slot: Int) throws(AccessError) {
        guard let lent = lendForFlush(slot) else { return }
        guard lent.context.properties.canFlush else { return giveBack(lent, .none, isGood: true) }
        do throws(AccessError) {
            try lent.context.flush()
        } catch {
            // A flush is not made again in another context: that could only make durable what comes from now on.
            let isThere = isOfRequest(error) || answers(lent.context)
            giveBack(lent, .change, isGood: isThere)
            if isThere { throw error }
            return
        }
        giveBack(lent, .none, isGood: true)
    }

    /// Lends a context that something was changed in, or nil if it needs no flush.
    private func lendForFlush(_ slot: Int) -> Lent? {
        state.wait { state in
            guard let context = state.slots[slot].context, state.slots[slot].isUnflushed else { return .done(nil) }
            guard !state.slots[slot].isBroken, state.slots[slot].calls < maxCalls else { return .later(nil) }
            state.slots[slot].calls += 1
            // What is changed from now on is for the next flush.
            state.slots[slot].isUnflushed = false
            return .done(Lent(slot: slot, context: context))
        }
    }
}

extension LayerPool.State {
    /// A call has succeeded, or has failed for a reason of its own.
    fileprivate mutating func noteAnswer() -> LayerPool.News? {
        pause = LayerPool.pauses.lowerBound
        guard isAway else { return nil }
        awaySince = nil
        return .back
    }

    /// Something is changed through a slot, or may have been. If its context is broken, that may be forgotten.
    fileprivate mutating func noteChange(in slot: Int) {
        slots[slot].isUnflushed = true
        if slots[slot].isBroken { losses += 1 }
    }

    /// A call has failed, and so has the read after it.
    fileprivate mutating func noteSilence(of slot: Int) -> LayerPool.News? {
        if slots[slot].isUnflushed, !slots[slot].isBroken { losses += 1 }
        slots[slot].isBroken = true
        return noteAway()
    }

    /// The layer has no context to give.
    fileprivate mutating func noteRefusal(of slot: Int) -> LayerPool.News? {
        if slots.contains(where: { $0.context != nil && !$0.isBroken }) {
            // It is there, and gives no more than these.
            slots[slot].isRefused = true
            return nil
        }
        pause = min(pause * 2, LayerPool.pauses.upperBound)
        nextAttempt = MonotonicTime.now + pause
        return noteAway()
    }

    /// - Returns: The news, if it is one.
    private mutating func noteAway() -> LayerPool.News? {
        guard !isAway else { return nil }
        awaySince = MonotonicTime.now
        for slot in slots.indices { slots[slot].isRefused = false }
        return .away
    }
}
