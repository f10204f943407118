import Synchronization

/// What a use of a page counts, and the clock of the probation that its image has. All of it takes no lock.
struct ImageClock: @unchecked Sendable {
    private let queues: UnsafeMutablePointer<ImageQueues>

    /// The maximum number of hits that a page remembers.
    private static let maxHits: UInt32 = 3
    /// The clock of probation moves on by one for each 2⁴ hits of a shard.
    private static let hitsOfTickShift: UInt64 = 4

    init(_ queues: UnsafeMutablePointer<ImageQueues>) { self.queues = queues }

    /// The word of a page whose word is `word` after one more use of it. The first use of a page that was read ahead is
    /// not a hit: without reading ahead it would have been a miss.
    @inline(__always)
    func countingUse(_ word: UInt32, _ position: QueuePosition) -> UInt32 {
        PageState(word).has(PageState.prefetched) ? word & ~PageState.untilUsed : countingHit(word, position)
    }

    /// The word of a page whose word is `word` after one more hit.
    @inline(__always)
    func countingHit(_ word: UInt32, _ position: QueuePosition) -> UInt32 {
        if word & PageState.hitMask == ImageClock.maxHits &* PageState.hit { return word }
        if position.isTimed,
            position.age(at: queues.pointee.clock.load(ordering: .relaxed))
                <= queues.pointee.correlationFrames.load(ordering: .relaxed)
        {
            return word
        }
        return word &+ PageState.hit
    }

    /// Moves the clock on with the hits of a shard, which has had `before` of them and now `after`. Once all pages in
    /// use are resident, none enters probation any more. Without these ticks the youngest pages would then never become
    /// old enough for their hits to count, and the first scan would recycle them. If several images have hits in the
    /// shard, the tick is that of the image which has the sixteenth: on average, each has its part.
    @inline(__always)
    func countTime(ofHits before: UInt64, _ after: UInt64) {
        let ticks = after &>> ImageClock.hitsOfTickShift &- before &>> ImageClock.hitsOfTickShift
        guard ticks != 0 else { return }
        queues.pointee.clock.wrappingAdd(UInt32(truncatingIfNeeded: ticks), ordering: .relaxed)
    }

    /// Lets the time of a page that was read ahead begin with its first use, which is now. A scan reads a large page
    /// piece by piece, and the page has been in probation for long because it was read far ahead. So without this its
    /// hits would count, and scans would fill main. If the page has been moved since `position` was read, it stays as
    /// it is.
    @inline(__always)
    func startTime(of word: UnsafeMutablePointer<FlexpageWord>, _ position: QueuePosition) {
        guard position.isTimed else { return }
        let now = ImageClock.tick(queues.pointee.clock.load(ordering: .relaxed))
        let begun = QueuePosition(at: now, order: UInt8(position.order))
        _ = word.pointee.position.compareExchange(expected: position.raw, desired: begun.raw, ordering: .relaxed)
    }

    /// What a position remembers of `clock`; never 0.
    @inline(__always)
    static func tick(_ clock: UInt32) -> UInt32 { max(clock & 0xFFF_FFFF, 1) }
}
