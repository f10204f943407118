import Glibc
import Paging

/// Flushes, and what they tell of what a layer may have forgotten.
extension LayerPool {
    /// Makes durable what calls that returned before have changed, in every context that has changed something.
    /// - Throws: The error of a context that is still there; ESTALE, once, if the layer went away with changes that
    ///   were not flushed; EIO if it has become another image, even if nothing is left to flush.
    func flush() throws(AccessError) {
        guard !isOver else { throw AccessError(EIO) }
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
        guard lent.context.properties.canFlush else { return giveBack(lent, .none, .answer) }
        do throws(AccessError) {
            try lent.context.flush()
        } catch {
            return try end(lent, error, isUntold: isUntold)
        }
        giveBack(lent, .none, .answer)
    }

    /// A flush has failed. It is not made again in another context for its own sake: that could only make durable what
    /// comes from now on.
    private func end(_ lent: Lent, _ error: AccessError, isUntold: Bool) throws(AccessError) {
        let search = Search(effect: .change)
        switch lent.isLast ? .failedFlush : outcome(of: error, in: lent, search) {
        case .answer:
            giveBack(lent, .failedFlush(isUntold: isUntold), .answer)
            throw error
        case .silence: giveBack(lent, .failedFlush(isUntold: true), .silence)
        case .doubt, .failedFlush:
            giveBack(lent, .failedFlush(isUntold: true), .failedFlush)
            if !lent.isLast { try flushAnew(next(search, after: .doubt, in: lent)) }
        }
    }

    /// Flushes a new context, only to see whether a flush fails there too.
    /// - Throws: The error of that.
    private func flushAnew(_ search: Search) throws(AccessError) {
        guard let lent = lend(search) else { return }
        do throws(AccessError) {
            try lent.context.flush()
        } catch {
            let outcome = outcome(of: error, in: lent, search)
            giveBack(lent, .failedFlush(isUntold: true), outcome)
            if outcome == .answer { throw error }
            return
        }
        giveBack(lent, .none, .answer)
    }

    /// Flushes a context that gets no other calls any more, so that it can be closed. The next flush of all tells of a
    /// failure.
    func flushDoubtful(_ slot: Int) { try? flush(slot, isUntold: true) }

    /// Lends a context that something was changed in, or nil if it needs no flush.
    private func lendForFlush(_ slot: Int) -> Lent? {
        state.wait { state in
            guard state.slots[slot].context != nil else { return .done(nil) }
            // What was unflushed in it counts as lost already. A call in it may hang.
            if state.slots[slot].health == .broken { return .done(nil) }
            guard !state.slots[slot].isFlushing else { return .later(nil) }
            guard state.slots[slot].isUnflushed else { return .done(nil) }
            guard state.slots[slot].calls < maxCalls else { return .later(nil) }
            // What is changed from now on is for the next flush.
            state.slots[slot].isUnflushed = false
            state.slots[slot].isFlushing = true
            var lent = state.lend(slot)
            lent.isFlush = true
            lent.isLast = state.slots[slot].health != .good
            return .done(lent)
        }
    }
}
