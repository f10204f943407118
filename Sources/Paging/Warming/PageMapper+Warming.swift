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
    func warm(_ wanted: PageSet, inChunkOf page: UInt64, warmth: UInt8) -> WarmOutcome {
        let hashed = context.map.chunk(of: page)
        let limit = hashed.pages.upperBound
        var next = hashed.pages.lowerBound
        while next < limit {
            let chunk = hashed.lock()
            var missing = wanted
            missing.formIntersection(context.map.vacantPages(in: hashed.pages, of: chunk))
            missing.subtract(context.map.knownZeroes(in: chunk))
            chunk.unlock()
            let begin = missing.end(ofGapFrom: next, upTo: limit)
            guard begin < limit else { return .isRead }
            let room = pages.framesToWarm(ofImage: context.map.image)
            guard room > 0 else { return .isFull }
            let run = begin..<min(endOfRead(of: missing, from: begin, upTo: limit), begin + UInt64(room))
            let over = PageSet(run).subtracting(missing)
            next = max(readAheadOnce(run, over: over, warmth: warmth, in: hashed) ?? run.upperBound, begin + 1)
        }
        return .isRead
    }
}

extension Pages {
    /// How many frames may be taken at present to warm image number `image`. A part of the memory stays free for what
    /// clients demand meanwhile: as much as probation aims at, and room for a fill. If several images share the memory,
    /// one of them is warmed up to half of it, or up to its reserve.
    func framesToWarm(ofImage image: UInt16) -> Int {
        let frames = sizes.frames
        let kept = max(ImageQueues.probationTarget(ofFrames: frames), maxFramesOfFill)
        guard !waiters.isAnyoneWaiting else { return 0 }
        let free = memory.freeFrames - kept
        guard isShared else { return free }
        let share = queue.share(ofImage: image)
        return min(free, max(frames / 2, share.reserved) - share.held)
    }
}
