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
    private let maxCalls: Int
    private let slotCount: Int
    private let state: Monitored<State>

    /// The shortest and the longest pause between two attempts to open a context, milliseconds.
    fileprivate static let pauses = 50...2000

    /// How long no further context is asked for if the layer has refused one beside others, milliseconds.
    fileprivate static let refusalPause = 10_000

    fileprivate struct Slot {
        var context: (any LayerContext)?
        var calls = 0
        var isBroken = false
        /// A thread opens a context for it, or closes the one that it had.
        var isOpening = false
        /// The layer gave fewer contexts than are wanted. Until then, no other is asked for: milliseconds of
        /// MonotonicTime.
        var refusedUntil = 0
        /// A call that has changed something through it has returned since its last flush began.
        var isUnflushed = false
        /// A flush is under way. What becomes of it concerns whoever wants another one.
        var isFlushing = false
    }

    fileprivate struct State {
        var slots: [Slot]
        /// When a context may be opened, after failures: milliseconds of MonotonicTime.
        var nextAttempt = 0
        var pause = LayerPool.pauses.lowerBound
        /// How often what was not flushed may have been forgotten.
        var losses: UInt64 = 0
        /// The next flush is to fail, because of a loss that no other has told.
        var isLossUntold = false
        /// What `losses` was when the last good flush began: what was forgotten before has been written again.
        var lossesMended: UInt64 = 0
        /// Where a read succeeded last: where to read in order to know whether the layer is there.
        var goodOffset: Int64 = 0
        /// The layer has gone away, and the log says so.
        var isAway = false
        /// Since when, in milliseconds of MonotonicTime.
        var awaySince = 0
        /// How often it has gone away.
        var absences: UInt64 = 0
        /// The log says that it is there and can do less than before.
        var isLessTold = false
        /// It has come back as another image, or it has been closed.
        var isOver = false
    }

    fileprivate struct Lent {
        let slot: Int
        let context: any LayerContext
        /// `State.absences` when it was lent. Answers from before the layer went away do not say that it is back.
        let absences: UInt64
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

    private func isOfRequest(_ error: AccessError) -> Bool {
        switch error.code {
        case ENOSPC, EDQUOT, EROFS, EPERM, EOPNOTSUPP, ESHUTDOWN: true
        default: false
        }
    }

    /// Whether the layer is there. What has been good once may have become bad, so the first and the last block are
    /// asked for too.
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

    private func giveBack(_ lent: Lent, _ effect: Effect, isGood: Bool) {
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

    fileprivate enum News {
        case away, back, less
        /// Another image has come in its place, with this many bytes.
        case other(Int64)
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

    // MARK: - Flushes

    /// Makes durable what calls that returned before have changed, in every context that has changed something.
    /// - Throws: The error of a context that is still there; ESTALE, once, if the layer went away with changes that
    ///   were not flushed.
    func flush() throws(AccessError) {
        let before = losses
        for slot in 0..<slotCount { try flush(slot, isUntold: false) }
        let isLost = state.change { state in
            defer { state.isLossUntold = false }
            if !state.isLossUntold { state.lossesMended = before }
            return state.isLossUntold
        }
        if isLost { throw AccessError(ESTALE) }
    }

    /// The same for changes that the caller makes again if `losses` has grown. What other calls may have lost is still
    /// to be told: the layer reports a failed flush once.
    func flushContexts() throws(AccessError) {
        for slot in 0..<slotCount { try flush(slot, isUntold: true) }
    }

    /// Whether the layer may have forgotten something that has not been written again yet.
    var isAnythingForgotten: Bool { state.withLock { $0.losses != $0.lossesMended } }

    /// How often changes that were not flushed may have been forgotten. It only ever grows.
    var losses: UInt64 { state.withLock { $0.losses } }

    /// - Parameter isUntold: Whether a failure is to be told by another flush as well.
    private func flush(_ slot: Int, isUntold: Bool) throws(AccessError) {
        guard let lent = lendForFlush(slot) else { return }
        guard lent.context.properties.canFlush else { return giveBack(lent, .flush, isGood: true) }
        do throws(AccessError) {
            try lent.context.flush()
        } catch {
            // A flush is not made again in another context: that could only make durable what comes from now on.
            let isThere = isOfRequest(error) || answers(lent.context)
            giveBack(lent, .failedFlush(isUntold: isUntold || !isThere), isGood: isThere)
            if isThere { throw error }
            return
        }
        giveBack(lent, .flush, isGood: true)
    }

    /// Lends a context that something was changed in, or nil if it needs no flush.
    private func lendForFlush(_ slot: Int) -> Lent? {
        state.wait { state in
            guard state.slots[slot].context != nil else { return .done(nil) }
            guard !state.slots[slot].isFlushing else { return .later(nil) }
            // What was unflushed in it counts as lost already. A call in it may hang.
            if state.slots[slot].isBroken { return .done(nil) }
            guard state.slots[slot].isUnflushed else { return .done(nil) }
            guard state.slots[slot].calls < maxCalls else { return .later(nil) }
            // What is changed from now on is for the next flush.
            state.slots[slot].isUnflushed = false
            state.slots[slot].isFlushing = true
            return .done(state.lend(slot))
        }
    }
}

extension LayerPool.State {
    /// Lends the context of a slot.
    fileprivate mutating func lend(_ slot: Int) -> LayerPool.Lent {
        guard let context = slots[slot].context else { preconditionFailure("a slot that is lent has a context") }
        slots[slot].calls += 1
        return LayerPool.Lent(slot: slot, context: context, absences: absences)
    }

    /// A call has succeeded, or has failed for a reason of its own.
    /// - Parameter absences: What they were when it began.
    fileprivate mutating func noteAnswer(since absences: UInt64) -> LayerPool.News? {
        guard absences == self.absences else { return nil }
        pause = LayerPool.pauses.lowerBound
        guard isAway else { return nil }
        (isAway, isLessTold, nextAttempt) = (false, false, 0)
        return .back
    }

    /// A call through a slot has ended, and has or may have done this.
    fileprivate mutating func note(_ effect: LayerPool.Effect, in slot: Int) {
        switch effect {
        case .none: break
        case .change:
            slots[slot].isUnflushed = true
            // The context may have forgotten it already.
            if slots[slot].isBroken { noteLoss(isUntold: true) }
        case .flush: slots[slot].isFlushing = false
        case .failedFlush(let isUntold):
            slots[slot].isFlushing = false
            slots[slot].isUnflushed = true
            noteLoss(isUntold: isUntold)
        }
    }

    private mutating func noteLoss(isUntold: Bool) {
        losses += 1
        if isUntold { isLossUntold = true }
    }

    /// A call has failed, and so has the read after it.
    fileprivate mutating func noteSilence(of slot: Int) -> LayerPool.News? {
        guard !slots[slot].isBroken else { return nil }
        if slots[slot].isUnflushed { noteLoss(isUntold: true) }
        slots[slot].isBroken = true
        // It was opened while the layer was away, and has been of no use.
        if isAway { notePause() }
        return noteAway()
    }

    private mutating func notePause() {
        pause = min(pause * 2, LayerPool.pauses.upperBound)
        nextAttempt = MonotonicTime.now + pause
    }

    /// The layer is there, and can do less than before.
    fileprivate mutating func noteLess(of slot: Int) -> LayerPool.News? {
        if let news = noteRefusal(of: slot) { return news }
        guard isAway, !isLessTold else { return nil }
        isLessTold = true
        return .less
    }

    /// The layer has no context to give.
    fileprivate mutating func noteRefusal(of slot: Int) -> LayerPool.News? {
        if slots.contains(where: { $0.context != nil && !$0.isBroken }) {
            // It is there, and gives no more than these.
            slots[slot].refusedUntil = MonotonicTime.now + LayerPool.refusalPause
            return nil
        }
        notePause()
        return noteAway()
    }

    /// - Returns: The news, if it is one.
    private mutating func noteAway() -> LayerPool.News? {
        guard !isAway else { return nil }
        isAway = true
        absences += 1
        awaySince = MonotonicTime.now
        for slot in slots.indices { slots[slot].refusedUntil = 0 }
        return .away
    }
}
