/// The way of a read of what is zeroes, and how it is found out.
///
/// A base page that was read and is all zeroes is noted by the fill that read it. Where a whole fill was zeroes the
/// image is asked whether that was a hole, and where it ends; a miss in such a hole is then not read, but asked for,
/// which costs a system call or two, and tells of all the holes in the chunk. So a sparse image costs no I/O, and one
/// without holes no questions.
extension PageMapper {
    /// Base pages that a zero or trim notes as known zeroes at the most: 64 MiB.
    private static let maxNoted = UInt64(64 * Chunk.pages)

    /// Lends the beginning of `wanted`, as far as it is known to be zeroes. The shard's lock is held, and given up
    /// where there is such a beginning.
    func lendZeroes(
        _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, countingFrom: Int64
    ) -> Loan? {
        let pages = BasePage.numbers(covering: wanted)
        let end = context.map.knownZeroes(inChunkOf: pages.lowerBound)
            .end(ofRunFrom: pages.lowerBound, upTo: pages.upperBound)
        guard end > pages.lowerBound else { return nil }
        if countingFrom <= wanted.lowerBound { shard.pointee.zeroHits += end - pages.lowerBound }
        let mark = context.map.takeMark(ofZeroes: pages.lowerBound..<end)
        shard.unlock()
        if let mark { noteArrival(at: mark) }
        return Loan(context, zeroes: wanted.lowerBound..<min(BasePage.offset(of: end), wanted.upperBound))
    }

    /// Notes that the image holds zeroes in `pages`, which the caller has reserved: of the first chunks at once, so
    /// that it takes no longer for more of them; the others are taken for a hole, and asked for when they are missed.
    func noteZeroes(in pages: Range<UInt64>) {
        context.noteHole(BasePage.offset(of: pages.lowerBound)..<BasePage.offset(of: pages.upperBound))
        var left = pages.clamped(to: 0..<pages.lowerBound + PageMapper.maxNoted)
        while !left.isEmpty {
            let end = min((left.lowerBound | UInt64(Chunk.pages - 1)) + 1, left.upperBound)
            let shard = context.map.shard(of: left.lowerBound)
            shard.lock()
            let vacant = context.map.vacantPages(in: left.lowerBound..<end)
            context.map.noteZeroes(vacant, inChunkOf: left.lowerBound)
            shard.unlock()
            left = end..<left.upperBound
        }
    }

    /// Whether there was a hole at `offset`, which is missing, and this request has not asked there: the image is to be
    /// asked before it is read.
    func isWorthAsking(at offset: Int64, _ progress: inout RequestProgress) -> Bool {
        guard progress.askedUpTo <= offset, context.hadHole(at: offset) else { return false }
        progress.askedUpTo = offset + 1
        return true
    }

    /// Asks the image for the holes in the chunk of `offset` and notes what of them is missing as known zeroes. No lock
    /// is held. O(extents of the chunk).
    func askForHole(at offset: Int64, on shard: UnsafeMutablePointer<Shard>) {
        let page = BasePage.number(of: offset)
        let chunk = Chunk.around(page)
        // A page that is missing now holds what the image holds, and goes on doing so unless a writer comes. One that
        // is resident may be newer than the image when that is asked, and written out and recycled when it has
        // answered.
        shard.lock()
        let writeLoans = shard.pointee.writeLoans
        var zeroes = context.map.vacantPages(in: chunk)
        shard.unlock()
        zeroes.formIntersection(holes(in: chunk, around: offset))
        shard.lock()
        defer { shard.unlock() }
        guard shard.pointee.writeLoans == writeLoans else { return }
        zeroes.formIntersection(context.map.vacantPages(in: chunk))
        context.map.noteZeroes(zeroes, inChunkOf: page)
    }

    /// What the image says is a hole in `chunk`, in whole base pages; its errors are nobody's. Takes a hint of the hole
    /// that is at `offset`.
    private func holes(in chunk: Range<UInt64>, around offset: Int64) -> PageSet {
        let end = BasePage.offset(of: chunk.upperBound)
        var holes = PageSet()
        context.noteHole(0..<0)
        do throws(AccessError) {
            LockRank.assertNoneHeld()
            try accessor.extents(of: BasePage.offset(of: chunk.lowerBound)..<size) { extent in
                if extent.kind != .data {
                    if extent.range.contains(offset) { context.noteHole(extent.range) }
                    holes.formUnion(PageSet(wholePages(of: extent.range, before: chunk.upperBound)))
                }
                return extent.range.upperBound < end
            }
        } catch {
            return PageSet()
        }
        return holes
    }

    /// The base pages that lie wholly in `range`, which begins in a chunk, and before `limit`, the chunk's end. The
    /// image's last one does if all of it that there is does.
    private func wholePages(of range: Range<Int64>, before limit: UInt64) -> Range<UInt64> {
        let begin = BasePage.number(of: range.lowerBound + Int64(BasePage.size - 1))
        let end =
            range.upperBound == size
            ? BasePage.numbers(covering: range).upperBound : BasePage.number(of: range.upperBound)
        return begin..<max(begin, min(end, limit))
    }
}
