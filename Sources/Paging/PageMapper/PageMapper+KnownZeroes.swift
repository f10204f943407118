/// How known zeroes come to be known.
///
/// A base page that was read and is all zeroes is noted by the fill that read it. If a whole fill was zeroes, the image
/// is asked whether that was a hole, and where the hole ends. A miss in such a hole is then not read. The image is
/// asked instead, which costs a system call or two, and reports all holes in the chunk. So a sparse image costs no I/O,
/// and an image without holes costs no questions. `Context.lendZeroes` lends what is known.
extension PageMapper {
    /// The maximum number of base pages that a zero or trim notes as known zeroes: 64 MiB.
    private static let maxNoted = UInt64(64 * Chunk.pages)

    /// Notes that the image holds zeroes in `pages`, which the caller has reserved. Only the first `maxNoted` are noted
    /// at once, so that it takes no longer for more of them. The rest is taken for a hole, and asked for when it is
    /// missed.
    func noteZeroes(in pages: Range<UInt64>) {
        context.noteHole(BasePage.offset(of: pages.lowerBound)..<BasePage.offset(of: pages.upperBound))
        for part in pages.clamped(to: 0..<pages.lowerBound + PageMapper.maxNoted).chunkParts {
            context.map.chunk(of: part.lowerBound).withLock { chunk in
                context.map.noteZeroes(context.map.vacantPages(in: part, of: chunk), in: chunk)
            }
        }
    }

    /// What is known of `pages`, which the caller has reserved, does not hold any more. O(chunks).
    func forgetZeroes(in pages: Range<UInt64>) {
        context.noteHole(0..<0)
        for part in pages.chunkParts {
            context.map.chunk(of: part.lowerBound).withLock { chunk in context.map.forgetZeroes(in: part, of: chunk) }
        }
    }

    /// Whether the image is asked before it is read at `offset`, which is missing. It is if there was a hole and this
    /// request has not asked there yet.
    func isWorthAsking(at offset: Int64, _ progress: inout RequestProgress) -> Bool {
        guard progress.askedUpTo <= offset, context.hadHole(at: offset) else { return false }
        progress.askedUpTo = offset + 1
        return true
    }

    /// Asks the image for the holes in the chunk, which `offset` lies in, and notes what of them is missing as known
    /// zeroes. No lock is held. O(extents of the chunk).
    func askForHole(at offset: Int64, in hashed: HashedChunk) {
        assert(hashed.pages.contains(BasePage.number(of: offset)), "the offset lies in the chunk")
        // A page that is missing now holds what the image holds, and does so until a writer comes. A page that is
        // resident may be newer than the image when that is asked. By the time of the answer it may be written out and
        // recycled.
        let (before, writeLoans) = hashed.withLock { chunk in
            (context.map.vacantPages(in: hashed.pages, of: chunk), chunk.shard.pointee.writeLoans)
        }
        var zeroes = before
        zeroes.formIntersection(holes(in: hashed.pages, around: offset))
        hashed.withLock { chunk in
            guard chunk.shard.pointee.writeLoans == writeLoans else { return }
            zeroes.formIntersection(context.map.vacantPages(in: hashed.pages, of: chunk))
            context.map.noteZeroes(zeroes, in: chunk)
        }
    }

    /// What the image says is a hole in `chunk`, in whole base pages; nothing if it fails to say. Keeps a hint of the
    /// hole at `offset`.
    private func holes(in chunk: Range<UInt64>, around offset: Int64) -> PageSet {
        let end = BasePage.offset(of: chunk.upperBound)
        var holes = PageSet()
        context.noteHole(0..<0)
        do throws(AccessError) {
            LockRank.assertNoneHeld()
            try context.map.counters.countingCall { () throws(AccessError) in
                try accessor.extents(of: BasePage.offset(of: chunk.lowerBound)..<size) { extent in
                    if extent.kind != .data {
                        if extent.range.contains(offset) { context.noteHole(extent.range) }
                        // It begins in the chunk, and may end anywhere.
                        let whole = extent.range.wholePages(ofImage: size)
                        holes.formUnion(PageSet(whole.clamped(to: chunk)))
                    }
                    return extent.range.upperBound < end
                }
            }
        } catch {
            return PageSet()
        }
        return holes
    }
}
