import Glibc

/// Pages on their way out with the last will: runs of neighbours, several at once, as in a WriteBatch. But this batch
/// changes no page's state, and has all its room from the beginning: there may be little stack, and there is no malloc.
///
/// Leaves of several chunks come in turns. So each run has room for all the pieces that it can become, and a page joins
/// whichever run it continues.
///
/// Pointers, cheap to copy. Thread rules: used by one thread at a time.
struct LastWillBatch {
    private typealias Run = (pages: Range<UInt64>, pieces: Int)

    /// The maximum number of base pages in a run: 1 MiB.
    private static let pagesOfRun = Chunk.pages
    /// How long the pages of one run are tried one by one, milliseconds. So a disk that is slow to refuse a page does
    /// not keep the other runs from going out.
    private static let maxSearch = 1000

    private let runs: UnsafeMutablePointer<Run>
    private let pieces: UnsafeMutablePointer<iovec>
    private let writes: UnsafeMutablePointer<WriteOut>
    private let count: UnsafeMutablePointer<Int>

    init() {
        runs = .allocate(capacity: WriteOut.maxCount)
        // One more of each, for a page that is tried alone.
        pieces = .allocate(capacity: WriteOut.maxCount * LastWillBatch.pagesOfRun + 1)
        writes = .allocate(capacity: WriteOut.maxCount + 1)
        count = .allocate(capacity: 1)
        count.initialize(to: 0)
    }

    func destroy() {
        runs.deallocate()
        pieces.deallocate()
        writes.deallocate()
        count.deallocate()
    }

    /// The index of the run that `page` continues, or nil.
    private func run(before page: UInt64) -> Int? {
        for run in 0..<count.pointee
        where runs[run].pages.upperBound == page && runs[run].pages.count < LastWillBatch.pagesOfRun {
            return run
        }
        return nil
    }

    func hasRoom(for page: UInt64) -> Bool { count.pointee < WriteOut.maxCount || run(before: page) != nil }

    /// Adds `page`, for which there is room. Its bytes are at `memory`.
    func add(_ page: UInt64, _ memory: UnsafeMutableRawPointer) {
        assert(hasRoom(for: page), "a batch that is full is submitted first")
        if let run = run(before: page) {
            runs[run].pages = runs[run].pages.lowerBound..<page + 1
            let last = self.pieces(of: run) + (runs[run].pieces - 1)
            if last.pointee.iov_base + last.pointee.iov_len == memory {
                last.pointee.iov_len += BasePage.size
            } else {
                addPiece(memory, to: run)
            }
        } else {
            (runs + count.pointee).initialize(to: (page..<page + 1, 0))
            addPiece(memory, to: count.pointee)
            count.pointee += 1
        }
    }

    private func pieces(of run: Int) -> UnsafeMutablePointer<iovec> { pieces + run * LastWillBatch.pagesOfRun }

    private func addPiece(_ memory: UnsafeMutableRawPointer, to run: Int) {
        (pieces(of: run) + runs[run].pieces).initialize(to: iovec(iov_base: memory, iov_len: BasePage.size))
        runs[run].pieces += 1
    }

    /// Writes what has been added, and counts the results. If a run fails, its pages are tried one by one for a second,
    /// so that a page for which the disk has no room costs no other page.
    func submit(to accessor: any Accessor, _ outcome: inout LastWill.Outcome) {
        guard count.pointee > 0 else { return }
        for run in 0..<count.pointee {
            let pieces = UnsafeBufferPointer(start: pieces(of: run), count: runs[run].pieces)
            let offset = BasePage.offset(of: runs[run].pages.lowerBound)
            (writes + run).initialize(to: WriteOut(pieces, at: offset))
        }
        accessor.writeOut(UnsafeMutableBufferPointer(start: writes, count: count.pointee))
        for run in 0..<count.pointee {
            if writes[run].error == nil {
                outcome.broughtOut += runs[run].pages.count
            } else {
                writePages(of: run, to: accessor, &outcome)
            }
        }
        count.pointee = 0
    }

    private func writePages(of run: Int, to accessor: any Accessor, _ outcome: inout LastWill.Outcome) {
        var page = runs[run].pages.lowerBound
        let end = MonotonicClock.milliseconds + LastWillBatch.maxSearch
        for piece in 0..<runs[run].pieces {
            let whole = pieces(of: run)[piece]
            for position in stride(from: 0, to: whole.iov_len, by: BasePage.size) {
                let isTried = MonotonicClock.milliseconds < end
                if isTried, write(whole.iov_base + position, to: page, of: accessor, &outcome) {
                    outcome.broughtOut += 1
                } else {
                    outcome.failed += 1
                }
                page += 1
            }
        }
    }

    /// - Returns: Whether the page has been written.
    private func write(
        _ memory: UnsafeMutableRawPointer, to page: UInt64, of accessor: any Accessor,
        _ outcome: inout LastWill.Outcome
    ) -> Bool {
        let (piece, alone) = (pieces(of: WriteOut.maxCount), writes + WriteOut.maxCount)
        piece.initialize(to: iovec(iov_base: memory, iov_len: BasePage.size))
        alone.initialize(
            to: WriteOut(UnsafeBufferPointer(start: piece, count: 1), at: BasePage.offset(of: page)))
        accessor.writeOut(UnsafeMutableBufferPointer(start: alone, count: 1))
        guard let error = alone.pointee.error else { return true }
        outcome.error = error
        return false
    }
}
