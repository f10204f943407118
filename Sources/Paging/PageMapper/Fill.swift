import Glibc

/// A fill: the flexpages in one chunk that one vectored read is to populate, and their Regions.
///
///     planned ── issue ──▶ in flight ── publish ──▶ visible ── lend, unpin ──▶ (flexpages like any others)
///        │                     ├── withdraw ──▶ (nothing left)
///        │                     └── dropZeroes ──▶ (known zeroes)
///        └── deinit: Regions go back
///
/// - *planned*: the Regions belong to the filler. Nobody waits for them, and the filler waits for nothing (invariant
///   9).
/// - *in flight*: the flexpages are in the AccessMap, not populated, and pinned by the filler. Other threads that want
///   them pin them too, and wait.
/// - *visible*: they are populated, and the filler's pins become those of its loan, or go back.
///
/// A fill lives on the filler's stack: 5 KiB, nothing allocated.
///
/// The flexpages may have gaps between them, where pages are already resident. To read a few base pages in vain costs
/// less than a second read. Their bytes go to frames that belong to the fill, and are discarded. Each of these frames
/// takes one page of the read. Filesystems and devices with checksums refuse a buffer that is named twice, or handle it
/// in a slower way.
struct Fill: ~Copyable {
    let context: PageMapper.Context
    private let pages: Pages
    var ids = InlineArray<256, FlexpageID> { _ in .none }
    /// Flexpages and pieces of memory that there can be at most: a base page each.
    static let capacity = Chunk.pages
    /// How many flexpages are planned, and how many of them are in flight: always the first ones.
    var count = 0
    var issued = 0
    /// How many flexpages were zeroes and have been taken out of the AccessMap: the last ones of `ids`.
    var dropped = 0
    /// Base pages that have been found to be zeroes, and base pages of dropped flexpages.
    var zeroes = PageSet()
    var droppedPages = PageSet()
    /// From the first to the last base page planned, or in flight after `issue`.
    private(set) var covered: Range<UInt64>
    /// Those of them that are resident, and read in vain.
    let resident: PageSet
    /// Where their bytes go: a flexpage that is in no map; `.none` if no page is read in vain.
    private var sink = FlexpageID.none

    /// Frames that have been taken of the image's share for it.
    private var shared = 0
    /// Whether it has none because the image's fills hold their share.
    let isRefused: Bool
    /// Whether it is for no client's sake: it takes only memory that is free, so that nothing is recycled for it.
    private let isWarming: Bool

    /// The maximum number of base pages that one read reads in vain: 128 KiB. If there is little memory it is an eighth
    /// of what the read may populate. One that warms reads more in vain, because no client waits for it: 512 KiB.
    private var maxReadOver: Int {
        isWarming ? min(128, pages.maxFramesOfFill / 2) : min(32, pages.maxFramesOfFill / 8)
    }

    /// The flexpage at `index` of `ids`. This function, and all that call it, are `mutating` although some only read.
    /// If they were not, the compiler would copy all of `ids`, 1 KiB, for each look.
    @inline(__always)
    mutating func id(_ index: Int) -> FlexpageID { ids[index] }

    /// Plans to populate `run`, or as much of its beginning as there are Regions for now. No lock is held.
    ///
    /// This decides the size of a flexpage: the largest power of two that its offset is aligned to and the rest of the
    /// run fills. If there is no such Region, it is smaller.
    /// - Parameter run: Base pages of one chunk, at least one.
    /// - Parameter resident: Those of them that are resident and read in vain; not the first.
    /// - Parameter maxCount: The maximum number of its flexpages.
    /// - Parameter wantedUpTo: The end of what a client wants of it, if it reads on past that: no flexpage lies on both
    ///   sides.
    init(
        _ run: Range<UInt64>, over resident: PageSet = PageSet(), maxCount: Int = Fill.capacity,
        wantedUpTo: UInt64 = .max, isWarming: Bool = false, context: PageMapper.Context, pages: Pages
    ) {
        LockRank.assertNoneHeld("a fill is planned")
        // No assertion here names a property of the fill: optimised code would release a `pages` that is not there yet.
        assert(!run.isEmpty && run.isInOneChunk, "one lock serves a fill")
        assert(maxCount <= Fill.capacity, "a base page is the smallest flexpage")
        assert(!resident.contains(run.lowerBound), "a read begins with a page that is missing")
        self.context = context
        self.pages = pages
        self.resident = resident
        self.isWarming = isWarming
        covered = run.lowerBound..<run.lowerBound
        shared = context.fillShare.take(min(run.count, pages.maxFramesOfFill))
        isRefused = shared == 0
        var end = run.lowerBound + UInt64(shared)
        if !resident.isEmpty { end = takeSink(for: run.lowerBound..<end) }
        var page = run.lowerBound
        while page < end, count < maxCount {
            let limit = page < wantedUpTo ? min(end, wantedUpTo) : end
            let left = Int(resident.end(ofGapFrom: page, upTo: limit) - page)
            let order = min(page.trailingZeroBitCount, left.log2, Region.maxOrder)
            guard let region = takeRegion(order: order, room: Int(end - page)) else { break }
            prepare(region, at: page)
            page = resident.end(ofRunFrom: covered.upperBound, upTo: end)
        }
        if count == 0 { giveBackShare() }
    }

    private func takeRegion(order: Int, room: Int) -> Region? {
        isWarming ? pages.memory.take(maxOrder: order) : pages.takeRegion(order: order, room: room)
    }

    /// A fill that has no frames, or none any more, holds no part of the image's share.
    private mutating func giveBackShare() {
        context.fillShare.give(shared)
        shared = 0
    }

    /// Takes memory for what is read in vain in `run`.
    /// - Returns: The end of the run for which that memory is enough.
    private mutating func takeSink(for run: Range<UInt64>) -> UInt64 {
        let wanted = min(resident.count(in: run), maxReadOver)
        var left = 0
        if wanted > 0, let region = takeRegion(order: (wanted * 2 - 1).log2, room: 1) {
            sink = make(region, at: run.lowerBound)
            left = region.frames
        }
        var end = resident.end(ofGapFrom: run.lowerBound, upTo: run.upperBound)
        while end < run.upperBound {
            let next = resident.end(ofRunFrom: end, upTo: run.upperBound)
            left -= Int(next - end)
            guard left >= 0 else { break }
            end = resident.end(ofGapFrom: next, upTo: run.upperBound)
        }
        return end
    }

    /// Makes the flexpage of `region`, pinned and not populated. Nobody else knows of it yet.
    private mutating func prepare(_ region: Region, at page: UInt64) {
        ids[count] = make(region, at: page)
        count += 1
        covered = covered.lowerBound..<page + UInt64(region.frames)
    }

    /// Makes a flexpage, pinned and not populated.
    func make(_ region: Region, at page: UInt64) -> FlexpageID {
        context.table.make(
            region, key: PageKey(image: context.map.image, page: page), state: PageState.pin)
    }

    deinit {
        if issued < count {
            for index in issued..<count { pages.give(context.table.region(of: ids[index])) }
        }
        if sink != .none { pages.give(context.table.region(of: sink)) }
        context.fillShare.give(shared)
    }

    /// Puts the flexpages into the AccessMap, up to the first that no longer has a vacant place there.
    /// - Returns: Whether any is in flight now.
    mutating func issue(in chunk: borrowing LockedChunk) -> Bool {
        assert(issued == 0, "a fill is issued once")
        while issued < count, context.map.isVacant(context.table[id(issued)].covered, in: chunk) {
            context.map.insert(id(issued), in: chunk)
            issued += 1
        }
        let end = issued == 0 ? covered.lowerBound : context.table[id(issued - 1)].covered.upperBound
        covered = covered.lowerBound..<end
        return issued > 0
    }

    /// Reads the image into the flexpages in flight. If that fails, nothing is left of them. No lock is held.
    mutating func populateOrWithdraw(from accessor: any Accessor, in hashed: HashedChunk) throws(AccessError) {
        do throws(AccessError) {
            try populate(from: accessor)
        } catch {
            hashed.withLock { chunk in withdraw(error, in: chunk) }
            giveBack(0..<issued)
            throw error
        }
    }

    /// Reads the image into the flexpages in flight. No lock is held.
    private mutating func populate(from accessor: any Accessor) throws(AccessError) {
        assert(issued > 0, "only what is in flight is read")
        let result: Result<Void, AccessError>
        if issued == 1 {
            // Most misses are of this kind, and need not clear 4 KiB of room for pieces.
            result = withUnsafePointer(to: piece(0)) {
                read(UnsafeBufferPointer(start: $0, count: 1), from: accessor)
            }
        } else {
            var pieces = InlineArray<256, iovec>(repeating: iovec())
            let pieceCount = collect(&pieces)
            result = pieces.span.extracting(first: pieceCount).withUnsafeBufferPointer { read($0, from: accessor) }
        }
        try result.get()
    }

    /// The memory of all flexpages in flight and of the gaps between them, in order.
    /// - Parameter first: How many pieces there are already. These come behind them.
    /// - Returns: How many pieces there are then: at most one more for each base page.
    mutating func collect(_ pieces: inout InlineArray<256, iovec>, from first: Int = 0) -> Int {
        var pieceCount = first
        var page = covered.lowerBound
        var readOver = 0
        for index in 0..<issued {
            let flexpage = context.table[id(index)].covered
            if page < flexpage.lowerBound {
                let bytes = Int(flexpage.lowerBound - page) * BasePage.size
                pieces[pieceCount] = iovec(iov_base: context.table.memory(of: sink) + readOver, iov_len: bytes)
                pieceCount += 1
                readOver += bytes
            }
            pieces[pieceCount] = piece(index)
            pieceCount += 1
            page = flexpage.upperBound
        }
        return pieceCount
    }

    /// Base pages in flight.
    var pagesInFlight: Int { covered.count - resident.count(in: covered) }

    /// The memory of the flexpage in flight at `index` of `ids`.
    private mutating func piece(_ index: Int) -> iovec {
        let bytes = Int(context.table[id(index)].pages) * BasePage.size
        return iovec(iov_base: context.table.memory(of: id(index)), iov_len: bytes)
    }

    private func read(
        _ pieces: UnsafeBufferPointer<iovec>, from accessor: any Accessor
    ) -> Result<Void, AccessError> {
        LockRank.assertNoneHeld()
        var isGood = false
        context.readahead.beginRead()
        defer { context.readahead.endRead(covered.count, isGood: isGood) }
        do throws(AccessError) {
            let result: Void = try context.map.counters.countingCall { () throws(AccessError) in
                try context.latencies.fills.measure { () throws(AccessError) in
                    try accessor.populate(pieces, at: BasePage.offset(of: covered.lowerBound))
                }
            }
            isGood = true
            return .success(result)
        } catch {
            return .failure(error)
        }
    }

    // MARK: Publishing

    /// Lets everybody see the flexpages, but for what of them is zeroes. They stay pinned: `lend` or `unpin` follows.
    ///
    /// They are queued under the lock of the shard, because other threads believe that a recycler has in hand what is
    /// in the map and not in the queue.
    /// - Parameter warm: How warm they were when they were resident; nil if the PageQueue decides where they go.
    /// - Parameter unusedFrom: Where it has read on past what is wanted, if it has: these pages are not used yet.
    mutating func publish(in chunk: borrowing LockedChunk, warm: WarmPages? = nil, unusedFrom: UInt64 = .max) {
        dropZeroes(in: chunk)
        if unusedFrom < covered.upperBound { publishUnused(from: unusedFrom, in: chunk) }
        makeVisible(in: chunk, warm: warm)
        chunk.shard.pointee.fills += 1
        chunk.shard.pointee.pagesFilled += UInt64(covered.count)
        context.map.counters.countFill(covered.count)
    }

    /// - Parameter isOwed: They are newer than what is known to be durable on the image.
    mutating func makeVisible(
        in chunk: borrowing LockedChunk, warm: WarmPages? = nil, isOwed: Bool = false
    ) {
        var hasWaiters = false
        for index in 0..<issued {
            context.table.keep(id(index), isOwed: isOwed)
            let state = context.table.word(id(index))
            let word = state.pointee.state.bitwiseOr(PageState.populated, ordering: .releasing).oldValue
            assert(!PageState(word).has(PageState.populated | PageState.withdrawn), "a flexpage is populated once")
            if PageState(word).has(PageState.hasWaiters) {
                hasWaiters = true
                state.pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
            }
        }
        if let warm {
            context.queue.append(count: issued, warm: warm) { id($0) }
        } else {
            context.queue.append(count: issued) { id($0) }
        }
        if hasWaiters { chunk.wakeAll() }
    }

    /// Lets everybody see the flexpages, as read ahead and not used yet, and lends none. The first client that uses the
    /// page at `mark` starts the next window. A client that has waited for a flexpage is its first user.
    mutating func publishAhead(mark: UInt64?, in chunk: borrowing LockedChunk) {
        dropZeroes(in: chunk)
        if let mark { context.map.markZeroes(at: mark, in: chunk) }
        var count: UInt64 = 0
        for index in 0..<issued {
            let flexpage = context.table[id(index)]
            count += UInt64(flexpage.pages)
            var bits = PageState.prefetched
            if let mark, flexpage.covered.contains(mark) { bits |= PageState.marked }
            context.table.word(id(index)).pointee.state.bitwiseOr(bits, ordering: .relaxed)
        }
        chunk.shard.pointee.pagesReadAhead += count
        context.map.counters.countReadAhead(count)
        publish(in: chunk)
        unpin(0..<issued)
    }

    /// Notes that the flexpages from `page` on were read on, and are not used yet.
    private mutating func publishUnused(from page: UInt64, in chunk: borrowing LockedChunk) {
        var count: UInt64 = 0
        for index in 0..<issued where context.table[id(index)].covered.lowerBound >= page {
            count += UInt64(context.table[id(index)].pages)
            context.table.word(id(index)).pointee.state.bitwiseOr(PageState.prefetched, ordering: .relaxed)
        }
        chunk.shard.pointee.pagesReadAhead += count
        context.map.counters.countReadAhead(count)
    }

    /// Lets everybody see the flexpages, which were resident once and as warm as `wanted` says, and lends none.
    mutating func publishWarm(_ wanted: WarmPages, in chunk: borrowing LockedChunk) {
        dropZeroes(in: chunk)
        for index in 0..<issued {
            let hits = ResidentRun.hits(ofWarmth: wanted.warmth(of: context.table[id(index)].covered))
            context.table.word(id(index)).pointee.state.bitwiseOr(hits * PageState.hit, ordering: .relaxed)
        }
        publish(in: chunk, warm: wanted)
        unpin(0..<issued)
    }

    /// Lets a writer alone have the flexpages, which it will populate, all of them dirty. Nobody else sees them before
    /// its loan ends. `lendForWriting` follows, so there are no more of them than a loan takes.
    /// - Returns: How many base pages are dirty by that.
    mutating func publishForWriting(in chunk: borrowing LockedChunk) -> Int {
        assert(issued > 0 && issued <= Loan.capacity, "one loan takes them all")
        let word =
            PageState.populated | PageState.dirty | PageState.exclusive | PageState.fresh | PageState.pin
        for index in 0..<issued {
            context.table.word(id(index)).pointee.state.store(word, ordering: .releasing)
        }
        let dirtied = context.map.markDirty(covered, in: chunk)
        context.queue.append(count: issued) { id($0) }
        return dirtied
    }

    /// Gives back the filler's pins on published flexpages, with the lock of the shard held: nobody waits for them yet.
    mutating func unpin(_ indices: Range<Int>) {
        LockRank.shard.assertHeld()
        for index in indices {
            context.table.word(id(index)).pointee.state.wrappingSubtract(PageState.pin, ordering: .releasing)
        }
    }

    // MARK: Withdrawing

    /// Takes the flexpages in flight out of the AccessMap again and wakes those that wait for them. If one base page
    /// alone was in flight, they get the error; if not, they try for themselves. It frees nothing yet: `giveBack`
    /// follows.
    private mutating func withdraw(_ error: AccessError, in chunk: borrowing LockedChunk) {
        takeBack(code: isOneBasePage ? UInt32(error.code) << PageState.errorShift : 0, in: chunk)
        chunk.shard.pointee.failedFills += 1
        context.map.counters.countFailedFill()
    }

    mutating func takeBack(code: UInt32, in chunk: borrowing LockedChunk) {
        for index in 0..<issued {
            context.map.remove(id(index), in: chunk)
            context.table.word(id(index)).pointee.state.bitwiseOr(
                PageState.withdrawn | code, ordering: .releasing)
        }
        chunk.wakeAll()
    }

    /// Gives back the filler's pins on some of `ids`, which are no longer in a map. No lock is held.
    mutating func giveBack(_ indices: Range<Int>) {
        for index in indices {
            // While the pin is there, the record stays.
            let page = context.table[id(index)].pointee.key.page
            context.giveBack(id(index), covering: page)
        }
    }

    /// Whether it is as small as a fill can be, so that its error is the page's.
    var isOneBasePage: Bool { covered.count == 1 }
}
