import Testing

@testable import Paging

/// A PageQueue with flexpages of images that nobody has opened, which a test queues, uses and recycles by hand.
final class QueueRig {
    let pages: Pages
    var queue: PageQueue { pages.queue }
    var table: FlexpageTable { pages.table }

    init(memory: Int = Pages.minMemory) throws { pages = try Pages(memory: memory) }

    /// A populated flexpage that begins at base page `page`, in a Region of its own, not queued. It is smaller if
    /// memory is in pieces.
    func make(_ page: UInt64, order: Int = 0, image: UInt16 = 0) -> FlexpageID {
        let region = pages.memory.take(maxOrder: order)!
        return table.make(region, key: PageKey(image: image, page: page), state: PageState.populated)
    }

    /// The same, queued.
    @discardableResult
    func append(_ page: UInt64, order: Int = 0, image: UInt16 = 0) -> FlexpageID {
        let id = make(page, order: order, image: image)
        queue.append(count: 1) { _ in id }
        return id
    }

    /// Uses a flexpage once, as a reader would.
    func hit(_ id: FlexpageID) {
        let word = table.word(id)
        let position = QueuePosition(word.pointee.position.load(ordering: .relaxed))
        let clock = queue.clock(ofImage: table[id].pointee.key.image)
        let counted = clock.countingHit(word.pointee.state.load(ordering: .relaxed), position)
        word.pointee.state.store(counted, ordering: .relaxed)
    }

    func hits(_ id: FlexpageID) -> UInt32 { PageState(table.word(id).pointee.state.load(ordering: .relaxed)).hits }

    func set(_ bits: UInt32, _ id: FlexpageID) { table.word(id).pointee.state.bitwiseOr(bits, ordering: .relaxed) }
    func clear(_ bits: UInt32, _ id: FlexpageID) { table.word(id).pointee.state.bitwiseAnd(~bits, ordering: .relaxed) }

    /// Recycles the next flexpage, and returns its key.
    func recycleAny() -> PageKey? {
        guard let candidate = queue.nextCandidate() else { return nil }
        pages.memory.give(table.region(of: candidate.id))
        return candidate.key
    }

    /// Recycles the next flexpage, and returns its first base page.
    func recycle() -> UInt64? { recycleAny()?.page }

    /// Brings in base page `page`, as a miss does, and recycles what it must.
    func miss(_ page: UInt64, image: UInt16 = 0) -> FlexpageID {
        while pages.memory.freeFrames == 0 { _ = recycle() }
        return append(page, image: image)
    }

    /// Frames that probation of image 0 aims at.
    var probationTarget: Int { queue.probationTarget(ofImage: 0) }
    /// Frames that must enter probation after a page before its hits count.
    var correlation: Int { probationTarget / 2 }

    /// Reserves `frames` frames for the image, which has users from now on.
    func reserve(_ frames: Int, ofImage image: UInt16) {
        queue.setActive(true, image: image)
        queue.setReserve(frames, ofImage: image)
    }
}
