/// What a LayerPool knows of its contexts and of the layer, and how that changes when a call has ended. The pool's lock
/// is held.
extension LayerPool {
    /// The shortest and the longest pause between two attempts to open a context, milliseconds.
    static let pauses = 50...2000

    /// How long no further context is asked for if the layer has refused one beside others, milliseconds.
    static let refusalPause = 10_000

    /// Whether a context can be used.
    enum Health {
        case good
        /// It gets no more calls. What was changed through it is flushed before it is closed.
        case doubtful
        /// It gets no more calls. What was changed through it and not flushed counts as forgotten.
        case broken
    }

    struct Slot {
        var context: (any LayerContext)?
        /// Which of all contexts that were ever opened it is.
        var number: UInt64 = 0
        /// Milliseconds of MonotonicTime.
        var openedAt = 0
        var calls = 0
        var health = Health.good
        /// A thread opens a context for it.
        var isOpening = false
        /// A thread closes the context that it had.
        var isClosing = false
        /// A call that has changed something through it has returned since its last flush began.
        var isUnflushed = false
        /// A flush is under way. What becomes of it concerns whoever wants another one.
        var isFlushing = false

        var isEmpty: Bool { context == nil && !isOpening && !isClosing }

        /// Whether it has a context that gets calls, or is about to have one.
        var isInUse: Bool { isOpening || context != nil && health == .good }

        /// Whether it has changes that are still to be flushed, before it is closed.
        var isDoubtful: Bool { context != nil && health == .doubtful }

        /// Whether one more call may be made.
        func isFree(_ maxCalls: Int) -> Bool { context != nil && health == .good && calls < maxCalls }
    }

    struct State {
        /// Changes that are made through one context and not flushed are seen through no other one.
        let isPrivate: Bool
        var slots: [Slot]
        /// Threads that close a context, or flush it before that.
        var threads = 0
        /// The layer gave fewer contexts than are wanted. Until then, no other is asked for: milliseconds of
        /// MonotonicTime.
        var refusedUntil = 0
        /// How many contexts have been opened.
        var openings: UInt64 = 0
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

    struct Lent {
        let slot: Int
        let context: any LayerContext
        let number: UInt64
        let openedAt: Int
        /// `State.openings` when it was lent: later ones were opened after the call began.
        let openings: UInt64
        /// `State.absences` when it was lent. Answers from before the layer went away do not say that it is back.
        let absences: UInt64
        /// Whether it is lent for the flush of its slot.
        var isFlush = false
        /// Whether no other call is made in it any more.
        var isLast = false
    }

    /// What is to be done with a context after a call in it.
    enum End {
        case none
        case flush
        case close(any LayerContext)
    }

    enum News {
        case away, back, less
        /// Another image has come in its place, with this many bytes.
        case other(Int64)
    }
}

extension LayerPool.State {
    /// Puts a new context into an empty slot.
    mutating func put(_ context: any LayerContext, in slot: Int) {
        openings += 1
        slots[slot].context = context
        slots[slot].number = openings
        slots[slot].openedAt = MonotonicTime.now
    }

    /// An empty slot, if there may be one more context that gets calls.
    /// - Parameter newerThan: Older ones will not do.
    func slotToOpen(_ maxContexts: Int, _ newerThan: UInt64, _ now: Int) -> Int? {
        guard slots.count(where: \.isInUse) < maxContexts else { return nil }
        // What was changed through it would not be seen, and its flush would undo what is changed meanwhile.
        guard !isPrivate || !slots.contains(where: \.isDoubtful) else { return nil }
        guard refusedUntil <= now || !hasGood(newerThan) else { return nil }
        return slots.firstIndex(where: \.isEmpty)
    }

    /// Whether there is a good context that is newer than this one.
    private func hasGood(_ number: UInt64) -> Bool {
        slots.contains { $0.context != nil && $0.health == .good && $0.number > number }
    }

    /// Lends the context of a slot.
    mutating func lend(_ slot: Int) -> LayerPool.Lent {
        guard let context = slots[slot].context else { preconditionFailure("a slot that is lent has a context") }
        slots[slot].calls += 1
        return LayerPool.Lent(
            slot: slot, context: context, number: slots[slot].number, openedAt: slots[slot].openedAt,
            openings: openings, absences: absences)
    }

    /// Makes doubtful the contexts up to this one that are in use, and lends the others, to be given back as doubtful.
    mutating func lendOld(upTo number: UInt64) -> [LayerPool.Lent] {
        let old = slots.indices.filter {
            slots[$0].context != nil && slots[$0].health == .good && slots[$0].number <= number
        }
        for slot in old where slots[slot].calls > 0 { slots[slot].health = .doubtful }
        return old.filter { slots[$0].calls == 0 }.map { lend($0) }
    }

    /// What is to be done with the context of a slot, after a call in it. What is to be closed has left the slot, which
    /// gets no other one before that is done: a layer may bear one only, and has one slot then.
    mutating func end(of slot: Int) -> LayerPool.End {
        guard let context = slots[slot].context, slots[slot].health != .good, slots[slot].calls == 0 else {
            return .none
        }
        if slots[slot].health == .doubtful, slots[slot].isUnflushed { return .flush }
        slots[slot] = LayerPool.Slot(isClosing: true)
        return .close(context)
    }

    mutating func note(_ outcome: LayerPool.Outcome, of lent: LayerPool.Lent) -> LayerPool.News? {
        switch outcome {
        case .answer: return noteAnswer(since: lent.absences)
        case .silence: return noteSilence(of: lent.slot)
        case .doubt: if slots[lent.slot].health == .good { slots[lent.slot].health = .doubtful }
        case .failedFlush: slots[lent.slot].health = .broken
        }
        return nil
    }

    /// A call has succeeded, or has failed for a reason of its own.
    /// - Parameter absences: What they were when it began.
    private mutating func noteAnswer(since absences: UInt64) -> LayerPool.News? {
        guard absences == self.absences else { return nil }
        pause = LayerPool.pauses.lowerBound
        guard isAway else { return nil }
        (isAway, isLessTold, nextAttempt) = (false, false, 0)
        return .back
    }

    /// A call through a slot has ended, and has or may have done this.
    mutating func note(_ effect: LayerPool.Effect, in slot: Int) {
        switch effect {
        case .none: break
        case .change:
            slots[slot].isUnflushed = true
            // The context may have forgotten it already.
            if slots[slot].health == .broken { noteLoss(isUntold: true) }
        case .failedFlush(let isUntold):
            slots[slot].isUnflushed = true
            noteLoss(isUntold: isUntold)
        }
    }

    private mutating func noteLoss(isUntold: Bool) {
        losses += 1
        if isUntold { isLossUntold = true }
    }

    /// A call has failed, and so has the probe.
    private mutating func noteSilence(of slot: Int) -> LayerPool.News? {
        let health = slots[slot].health
        guard health != .broken else { return nil }
        // Of a flush that is under way nobody waits for the end.
        if slots[slot].isUnflushed || slots[slot].isFlushing { noteLoss(isUntold: true) }
        slots[slot].health = .broken
        // Whether the layer is there, newer ones tell.
        guard health == .good else { return nil }
        // It was opened while the layer was away, and has been of no use.
        if isAway { notePause() }
        return noteAway()
    }

    private mutating func notePause() {
        pause = min(pause * 2, LayerPool.pauses.upperBound)
        nextAttempt = MonotonicTime.now + pause
    }

    /// The layer is there, and can do less than before.
    mutating func noteLess(_ newerThan: UInt64) -> LayerPool.News? {
        if let news = noteRefusal(newerThan) { return news }
        guard isAway, !isLessTold else { return nil }
        isLessTold = true
        return .less
    }

    /// The layer has no context to give.
    /// - Parameter newerThan: Older contexts may be of no use.
    mutating func noteRefusal(_ newerThan: UInt64) -> LayerPool.News? {
        if hasGood(newerThan) {
            // It is there, and gives no more than these.
            refusedUntil = MonotonicTime.now + LayerPool.refusalPause
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
        refusedUntil = 0
        return .away
    }
}
