import Glibc

/// A run that could not be written is tried in parts, at once: first its halves, then the halves of whichever fails,
/// down to single pages. So whatever can be written is out, and what cannot is known page by page.
///
///                   one or both are written             neither, fewer than eight times in a row
///        run ─────▶ halves ─────▶ the other by halves ◀──┘
///                     │ neither, the eighth time in a row, or a second has passed
///                     ▼
///                   dirty again, untried
///
/// If nothing on a disk can be written, it is asked 17 times for 256 pages. Two pages are then known to be bad, so the
/// next call looks further on. A disk that takes seconds to report a bad sector gets one halving per call. At the end
/// only the overall time limit counts.
///
/// Halves are further writes of the same batch: their pages are *writing* until each half ends by itself. Part of a
/// failed write may be on the image. That does no harm, because all of it is written again.
extension WriteBatch {
    /// After this many failures in a row, the call gives up.
    static let maxFailuresInARow = 8
    /// The time limit of the search, milliseconds.
    private static let maxSearch = 1000

    /// The progress of the search for what can be written, over all runs of a call.
    struct Search {
        let effort: Effort
        let begin = MonotonicClock.milliseconds
        var failuresInARow = 0

        var isOver: Bool {
            if case .last(let until) = effort { return MonotonicClock.milliseconds >= until }
            return failuresInARow >= WriteBatch.maxFailuresInARow
                || MonotonicClock.milliseconds - begin >= WriteBatch.maxSearch
        }
    }

    /// Ends the write-back of all runs that failed. No lock is held.
    mutating func tryInParts(_ failures: InlineArray<32, AccessError?>) {
        givePagesPieces()
        var search = Search(effort: effort)
        for index in 0..<runCount {
            if let failure = failures[index] { tryHalves(of: runs[index].pages, of: runs[index], failure, &search) }
        }
    }

    /// Gives each page a piece of its own, so that any part of a run can be written. It works in place, from the last
    /// piece to the first: there are never more pieces than pages.
    private mutating func givePagesPieces() {
        var next = pageCount
        for index in (0..<runCount).reversed() {
            let run = runs[index]
            for position in (run.firstPiece..<run.firstPiece + run.pieceCount).reversed() {
                let piece = pieces[position]
                for offset in stride(from: piece.iov_len - BasePage.size, through: 0, by: -BasePage.size) {
                    next -= 1
                    pieces[next] = iovec(iov_base: piece.iov_base + offset, iov_len: BasePage.size)
                }
            }
            runs[index].firstPiece = next
            runs[index].pieceCount = run.pages.count
        }
    }

    /// Ends the write-back of `pages`, part of `run`, which have failed together. Recursive, at most eight deep.
    private mutating func tryHalves(
        of pages: Range<UInt64>, of run: Run, _ failure: AccessError, _ search: inout Search
    ) {
        guard pages.count > 1, !search.isOver else { return end(pages, of: run, failure) }
        let middle = pages.lowerBound + UInt64(pages.count / 2)
        let halves = (first: pages.lowerBound..<middle, second: middle..<pages.upperBound)
        let failures = write(halves.first, halves.second, of: run)
        search.failuresInARow = failures.first == nil || failures.second == nil ? 0 : search.failuresInARow + 1
        // End what is out before the search goes on.
        if failures.first == nil { end(halves.first, of: run, nil) }
        if failures.second == nil { end(halves.second, of: run, nil) }
        if let failure = failures.first { tryHalves(of: halves.first, of: run, failure, &search) }
        if let failure = failures.second { tryHalves(of: halves.second, of: run, failure, &search) }
    }

    /// Writes two parts of `run`, whose pages have pieces of their own.
    private func write(
        _ first: Range<UInt64>, _ second: Range<UInt64>, of run: Run
    ) -> (first: AccessError?, second: AccessError?) {
        pieces.span.withUnsafeBufferPointer { pieces in
            var writes = InlineArray<2, WriteOut> { index in
                let pages = index == 0 ? first : second
                let firstPiece = run.firstPiece + Int(pages.lowerBound - run.pages.lowerBound)
                let part = UnsafeBufferPointer(rebasing: pieces[firstPiece..<firstPiece + pages.count])
                return WriteOut(part, at: BasePage.offset(of: pages.lowerBound))
            }
            var span = writes.mutableSpan
            LockRank.assertNoneHeld()
            span.withUnsafeMutableBufferPointer { parts in
                context.latencies.writeOuts.measure { accessor.writeOut(parts) }
            }
            return (writes[0].error, writes[1].error)
        }
    }
}
