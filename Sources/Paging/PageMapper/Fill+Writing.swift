/// Fills that a client's bytes populate, because they are written around the Memory (PageMapper+WritingAround).
///
///     in flight ── populate(with:) ──▶ written to the image ── publishWritten ──▶ (flexpages like any written out)
///                                          └── withdrawUnwritten, giveBackWithdrawn ──▶ (nothing left)
extension Fill {
    /// Copies the bytes that a client writes, or zeroes, to the flexpages in flight.
    /// - Parameter source: The bytes of `range`, in which all of the flexpages lie.
    mutating func populate(with source: UnsafeRawPointer?, of range: Range<Int64>) {
        for index in 0..<issued {
            let flexpage = context.table[id(index)].covered
            let begin = Int(BasePage.offset(of: flexpage.lowerBound) - range.lowerBound)
            KeptState.copy(
                to: context.table.memory(of: id(index)), from: source.map { $0 + begin },
                count: flexpage.count * BasePage.size)
        }
    }

    /// Lets everybody see the flexpages, which hold what has been written to the image, and lends none. They are like
    /// pages that have been written out: a sync that fails makes them dirty again.
    /// - Parameter stamp: The SyncRisk's stamp when the write began.
    mutating func publishWritten(syncFailureStamp stamp: UInt64, in chunk: borrowing LockedChunk) {
        guard issued > 0 else { return }
        makeVisible(in: chunk, isOwed: true)
        if context.map.risk.failure(since: stamp) == nil {
            context.map.noteWritten(covered, in: chunk)
        } else {
            context.dirtyLimit.add(context.map.markDirty(covered, in: chunk))
            context.map.updateStates(of: covered, in: chunk)
        }
        unpin(0..<issued)
    }

    /// The flexpages in flight could not be written. Like `withdraw`, but it is nobody else's error.
    mutating func withdrawUnwritten(in chunk: borrowing LockedChunk) {
        if issued > 0 { takeBack(code: 0, in: chunk) }
    }

    /// Gives back the filler's pins on what `withdrawUnwritten` has withdrawn. No lock is held.
    mutating func giveBackWithdrawn() { giveBack(0..<issued) }
}
