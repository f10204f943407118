/// Reads pages that were resident once, for no client, into memory that is free.
extension PageMapper {
    /// What has become of a part of a list.
    enum WarmOutcome {
        case isRead
        /// No memory may be taken for the image any more.
        case isFull
    }

    /// Populates what is missing of `wanted`, base pages of the chunk that `page` lies in. What cannot be read, or is
    /// being written or zeroed, is passed over: a client that wants it finds out.
    /// - Returns: `isFull` if there was no memory for all of it.
    func warm(_ wanted: WarmPages, inChunkOf page: UInt64) -> WarmOutcome {
        let hashed = context.map.chunk(of: page)
        let limit = hashed.pages.upperBound
        var next = hashed.pages.lowerBound
        while next < limit {
            let chunk = hashed.lock()
            var missing = wanted.all
            missing.formIntersection(context.map.vacantPages(in: hashed.pages, of: chunk))
            missing.subtract(context.map.knownZeroes(in: chunk))
            chunk.unlock()
            let begin = missing.end(ofGapFrom: next, upTo: limit)
            guard begin < limit else { return .isRead }
            let room = pages.framesToWarm(ofImage: context.map.image)
            guard room > 0 else { return .isFull }
            let run = begin..<min(endOfRead(of: missing, from: begin, upTo: limit), begin + UInt64(room))
            let over = PageSet(run).subtracting(missing)
            next = max(readAheadOnce(run, over: over, warming: wanted, in: hashed) ?? run.upperBound, begin + 1)
        }
        return .isRead
    }
}

extension Pages {
    /// The part of `bytes` bytes of memory that lists of what is warm take at most, bytes: a 256th, 16 bytes a page.
    /// `Residents` takes 8 of them for a flexpage. Packed in a file's format, a run takes 2 to 4 while it is small, and
    /// there are the last list and the new one. A list that is on its way takes 8 a run.
    public static func warmListBytes(memory bytes: Int) -> Int {
        max(0, min(bytes / 256, bytes - adviceBytes(memory: bytes) - minMemory))
    }

    /// How many frames may be taken at present to warm image number `image`.
    func framesToWarm(ofImage image: UInt16) -> Int {
        guard !waiters.isAnyoneWaiting else { return 0 }
        let free = memory.freeFrames - framesKeptFromWarming
        guard isShared else { return free }
        return min(free, maxFramesToWarm(ofImage: image) - queue.share(ofImage: image).held)
    }

    /// The maximum of frames that image number `image` may be warmed with, if all memory is free. If several images
    /// share the memory, that is half of it, or the image's reserve.
    func maxFramesToWarm(ofImage image: UInt16) -> Int {
        let free = max(0, sizes.frames - framesKeptFromWarming)
        guard isShared else { return free }
        return min(free, max(sizes.frames / 2, queue.share(ofImage: image).reserved))
    }

    /// What stays free for what clients demand meanwhile: as much as probation aims at, and room for a fill.
    private var framesKeptFromWarming: Int {
        max(ImageQueues.probationTarget(ofFrames: sizes.frames), maxFramesOfFill)
    }
}
