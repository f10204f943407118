/// Takes over the frames that another server has left: makes flexpages of them again, and puts them where they belong.
///
/// Everything but the words of the frames is made anew. So it does not matter what the other server was doing when it
/// died. What it owed is dirty again. What was used again is on the main queue; of the order in a queue, nothing is
/// kept (PageQueue+Hints says why). What belongs to no image that is taken over is freed.
///
/// Thread rules: one thread, before anything else is done with the Pages. O(frames).
struct TakeOver: ~Copyable {
    private let pages: Pages
    private let kept: KeptState
    /// The images, by their numbers.
    private let providers: [Provider?]
    /// Base pages that are owed to each.
    private(set) var owed: [Int]

    init(_ pages: Pages, _ kept: KeptState, _ providers: [Provider?]) {
        self.pages = pages
        self.kept = kept
        self.providers = providers
        owed = Array(repeating: 0, count: providers.count)
    }

    mutating func run() {
        var frame = 0
        while frame < kept.frames {
            guard kept[frame].isLive else {
                frame += 1
                continue
            }
            guard providers[kept[frame].image] != nil else {
                free(frame)
                frame += 1
                continue
            }
            let region = Region(first: UInt32(frame), order: order(at: frame))
            if !take(region) { for frame in region.first..<region.end { takeAlone(Int(frame)) } }
            frame += region.frames
        }
    }

    private func free(_ frame: Int) {
        kept[frame] = .empty
        pages.give(Region(first: UInt32(frame), order: 0))
    }

    /// The order of the largest flexpage that begins with `frame`: its pages follow one another, and all are owed or
    /// none is.
    private func order(at frame: Int) -> UInt8 {
        let first = kept[frame]
        let alignment = min(first.page.trailingZeroBitCount, frame.trailingZeroBitCount, Region.maxOrder)
        let limit = min(1 << alignment, kept.frames - frame)
        var count = 1
        while count < limit, kept[frame + count].raw == first.raw + UInt64(count) { count += 1 }
        return UInt8(count.log2)
    }

    /// Makes a flexpage of `region`.
    /// - Returns: False if another frame has one of the pages already.
    private mutating func take(_ region: Region) -> Bool {
        let word = kept[Int(region.first)]
        let context = providers[word.image]!.mapper.context
        let covered = word.page..<word.page + UInt64(region.frames)
        return context.map.chunk(of: word.page).withLock { chunk in
            guard context.map.isVacant(covered, in: chunk) else { return false }
            let id = pages.table.make(region, key: word.key, state: PageState.populated)
            context.map.insert(id, in: chunk)
            if word.isOwed {
                context.dirtyLimit.add(context.map.markDirty(covered, in: chunk))
                context.map.updateStates(of: covered, in: chunk)
                owed[word.image] += covered.count
            }
            if word.isPromoted { pages.queue.putBack(id, to: .main) } else { pages.queue.append(count: 1) { _ in id } }
            return true
        }
    }

    /// A server that dies while it moves a page leaves two frames with the same bytes: one is enough.
    private mutating func takeAlone(_ frame: Int) {
        if !take(Region(first: UInt32(frame), order: 0)) { free(frame) }
    }
}
