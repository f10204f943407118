/// What a LayerPool knows of its contexts and of the layer, and how that changes when a call has ended. The pool's lock
/// is held.
extension LayerPool {
    /// The shortest and the longest pause between two attempts to open a context, milliseconds.
    static let pauses = 50...2000

    /// How long no further context is asked for if the layer has refused one beside others, milliseconds.
    static let refusalPause = 10_000

    struct Slot {
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

    struct State {
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

    struct Lent {
        let slot: Int
        let context: any LayerContext
        /// `State.absences` when it was lent. Answers from before the layer went away do not say that it is back.
        let absences: UInt64
    }

    enum News {
        case away, back, less
        /// Another image has come in its place, with this many bytes.
        case other(Int64)
    }
}

extension LayerPool.State {
    /// Lends the context of a slot.
    mutating func lend(_ slot: Int) -> LayerPool.Lent {
        guard let context = slots[slot].context else { preconditionFailure("a slot that is lent has a context") }
        slots[slot].calls += 1
        return LayerPool.Lent(slot: slot, context: context, absences: absences)
    }

    /// A call has succeeded, or has failed for a reason of its own.
    /// - Parameter absences: What they were when it began.
    mutating func noteAnswer(since absences: UInt64) -> LayerPool.News? {
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
    mutating func noteSilence(of slot: Int) -> LayerPool.News? {
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
    mutating func noteLess(of slot: Int) -> LayerPool.News? {
        if let news = noteRefusal(of: slot) { return news }
        guard isAway, !isLessTold else { return nil }
        isLessTold = true
        return .less
    }

    /// The layer has no context to give.
    mutating func noteRefusal(of slot: Int) -> LayerPool.News? {
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
