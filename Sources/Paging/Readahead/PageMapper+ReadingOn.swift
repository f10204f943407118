/// Reading on: the read of a miss goes on past what is wanted, as far as `ReadingOn` says.
extension PageMapper {
    /// The end of a read of `wanted`, all of which is missing: it goes on over missing pages of the same chunk. It
    /// leaves out known zeroes, and what is being zeroed, so that no reader waits for what it does not want.
    /// - Parameter maxCount: The maximum number of pages in the read.
    func endOfReadingOn(past wanted: Range<UInt64>, maxCount: UInt64, in chunk: borrowing LockedChunk) -> UInt64 {
        let readahead = context.readahead
        guard readahead.maxWindow > ReadingOn.minWindow, readahead.on.isOn else { return wanted.upperBound }
        let bounds = Chunk.around(wanted.lowerBound)
        let before = max(bounds.lowerBound, wanted.lowerBound - min(wanted.lowerBound, ReadingOn.mostBefore))
        let count = readahead.on.pages(after: residentRun(endingAt: wanted.lowerBound, from: before, in: chunk))
        let pagesOfImage = (UInt64(size) + UInt64(BasePage.size) - 1) / UInt64(BasePage.size)
        let limit = min(
            wanted.upperBound + count, bounds.upperBound, pagesOfImage, wanted.lowerBound + maxCount)
        guard limit > wanted.upperBound, !context.reservations.overlaps(wanted.upperBound..<limit) else {
            return wanted.upperBound
        }
        let vacant = context.map.vacantPages(in: wanted.upperBound..<limit, of: chunk)
        return vacant.subtracting(context.map.knownZeroes(in: chunk)).end(ofRunFrom: wanted.upperBound, upTo: limit)
    }

    /// How many resident pages there are in a row just before `end`, not looking before `begin`.
    private func residentRun(endingAt end: UInt64, from begin: UInt64, in chunk: borrowing LockedChunk) -> UInt64 {
        guard begin < end else { return 0 }
        let vacant = context.map.vacantPages(in: begin..<end, of: chunk)
        return end - ((begin..<end).last(where: vacant.contains).map { $0 + 1 } ?? begin)
    }
}
