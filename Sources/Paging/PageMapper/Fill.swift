import Glibc

/// A fill: the flexpages in one chunk that one vectored read is to populate, and their Regions.
///
///     planned ── issue ──▶ in flight ── publish ──▶ (flexpages, lent or given back)
///        │                     └── withdraw, drop ──▶ (nothing left)
///        └── deinit: Regions go back
///
/// While it is planned its Regions are in the filler's hands, nobody waits for them, and the filler waits for nothing
/// (invariant 9). In flight its flexpages are in the AccessMap, not populated, pinned by the filler; others who want
/// them pin them too and wait. It lives on the filler's stack: 5 KiB, nothing allocated.
///
/// They lie side by side, or have gaps between them, where something is resident: to read over a few base pages costs
/// less than one read more. What is read there goes to frames of the fill's own and is nobody's. Each of them takes one
/// page of the read: filesystems and devices with checksums refuse a buffer that is named twice, or go another way.
struct Fill: ~Copyable {
    let context: PageMapper.Context
    private let pages: Pages
    var ids = InlineArray<256, FlexpageID> { _ in .none }
    /// Flexpages planned, and how many of them are in flight: always the first ones.
    var count = 0
    var issued = 0
    /// Flexpages that were zeroes and have been taken out of the AccessMap: the last ones of `ids`.
    var dropped = 0
    /// Base pages that have been found to be zeroes, and those of dropped flexpages.
    var zeroes = PageSet()
    var droppedPages = PageSet()
    /// From the first to the last base page planned, or in flight after `issue`.
    private(set) var covered: Range<UInt64>
    /// What of it is read over.
    private let resident: PageSet
    /// Where that goes: a flexpage at the run's first page that is in no map; `.none` where nothing is read over.
    private var sink = FlexpageID.none

    /// Most base pages that one read reads over: 128 KiB. With little memory an eighth of what it populates.
    private static let maxReadOver = 32

    /// Plans to populate `run`, or as much of its beginning as there are Regions for now. No lock is held.
    /// - Parameter run: Base pages of one chunk.
    /// - Parameter resident: Those of them that are to be read over, not the first.
    /// - Parameter most: Flexpages that it has at the most.
    init(
        _ run: Range<UInt64>, over resident: PageSet = PageSet(), maxCount: Int = 256, context: PageMapper.Context,
        pages: Pages
    ) {
        self.context = context
        self.pages = pages
        self.resident = resident
        covered = run.lowerBound..<run.lowerBound
        var end = min(run.upperBound, run.lowerBound + UInt64(pages.maxFramesOfFill))
        if !resident.isEmpty { end = takeSink(for: run.lowerBound..<end) }
        var page = run.lowerBound
        while page < end, count < maxCount {
            let left = Int(resident.end(ofGapFrom: page, upTo: end) - page)
            let order = min(page.trailingZeroBitCount, left.log2, Region.maxOrder)
            guard let region = pages.takeRegion(order: order, room: Int(end - page)) else { break }
            prepare(region, at: page)
            page = resident.end(ofRunFrom: covered.upperBound, upTo: end)
        }
    }

    /// Takes memory for what is read over in `run`.
    /// - Returns: Where the run is to end, so that it is enough.
    private mutating func takeSink(for run: Range<UInt64>) -> UInt64 {
        let wanted = min(resident.count(in: run), Fill.maxReadOver, pages.maxFramesOfFill / 8)
        var left = 0
        if wanted > 0, let region = pages.takeRegion(order: (wanted * 2 - 1).log2, room: 1) {
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
        for index in issued..<count { pages.give(context.table.region(of: ids[index])) }
        if sink != .none { pages.give(context.table.region(of: sink)) }
    }

    /// Puts the flexpages into the AccessMap, up to the first whose place is not vacant any more.
    /// The shard's lock is held.
    /// - Returns: Whether any is in flight now.
    mutating func issue() -> Bool {
        while issued < count, context.map.isVacant(context.table[ids[issued]].covered) {
            context.map.insert(ids[issued])
            issued += 1
        }
        let end = issued == 0 ? covered.lowerBound : context.table[ids[issued - 1]].covered.upperBound
        covered = covered.lowerBound..<end
        return issued > 0
    }

    /// Reads the image into the flexpages in flight; where that fails, nothing is left of them. No lock is held.
    func populateOrWithdraw(
        from accessor: any Accessor, on shard: UnsafeMutablePointer<Shard>
    ) throws(AccessError) {
        do throws(AccessError) {
            try populate(from: accessor)
        } catch {
            shard.lock()
            withdraw(error, on: shard)
            shard.unlock()
            giveBackWithdrawn()
            throw error
        }
    }

    /// Reads the image into the flexpages in flight. No lock is held.
    func populate(from accessor: any Accessor) throws(AccessError) {
        let result: Result<Void, AccessError>
        if issued == 1 {
            // What most misses are, and they need not clear 4 KiB of room for pieces.
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
    /// - Returns: How many pieces there are: no more than base pages.
    private func collect(_ pieces: inout InlineArray<256, iovec>) -> Int {
        var pieceCount = 0
        var page = covered.lowerBound
        var readOver = 0
        for index in 0..<issued {
            let flexpage = context.table[ids[index]].covered
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

    /// The memory of the flexpage in flight that `ids` has at `index`.
    private func piece(_ index: Int) -> iovec {
        let bytes = Int(context.table[ids[index]].pages) * BasePage.size
        return iovec(iov_base: context.table.memory(of: ids[index]), iov_len: bytes)
    }

    private func read(
        _ pieces: UnsafeBufferPointer<iovec>, from accessor: any Accessor
    ) -> Result<Void, AccessError> {
        LockRank.assertNoneHeld()
        do throws(AccessError) {
            return .success(try accessor.populate(pieces, at: BasePage.offset(of: covered.lowerBound)))
        } catch {
            return .failure(error)
        }
    }

    /// Lets everybody see the flexpages, but for what of them are zeroes, and lends those that `wanted` begins with to
    /// the filler. The shard's lock is held; the pages are queued under it, because a page in the map and not in the
    /// queue is taken for one that a recycler has in hand.
    mutating func publish(lending wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>) -> Loan {
        dropZeroes(on: shard)
        var loan = Loan(context, at: wanted.lowerBound)
        var hasWaiters = false
        for index in 0..<issued {
            let state = context.table.word(ids[index])
            let word = state.pointee.state.bitwiseOr(PageState.populated, ordering: .releasing).oldValue
            hasWaiters = hasWaiters || PageState(word).has(PageState.hasWaiters)
            if PageState(word).has(PageState.hasWaiters) {
                state.pointee.state.bitwiseAnd(~PageState.hasWaiters, ordering: .relaxed)
            }
        }
        context.queue.append(count: issued) { ids[$0] }
        for index in 0..<issued {
            let begin = BasePage.offset(of: context.table[ids[index]].pointee.key.page)
            // What comes after zeroes is another loan's.
            if !loan.isFull, begin < wanted.upperBound, begin <= loan.range.upperBound {
                loan.add(ids[index], upTo: wanted.upperBound)
            } else {
                context.table.word(ids[index]).pointee.state.wrappingSubtract(PageState.pin, ordering: .releasing)
            }
        }
        if hasWaiters { shard.wakeAll() }
        shard.pointee.fills += 1
        return loan.count > 0 ? loan : Loan(context, zeroes: zeroes(of: wanted))
    }

    /// Lets everybody see the flexpages, as read ahead and not used yet, but for those that somebody waits for; the one
    /// that covers `mark` tells when somebody comes to it. The shard's lock is held.
    mutating func publishAhead(mark: UInt64?, on shard: UnsafeMutablePointer<Shard>) {
        dropZeroes(on: shard)
        if let mark { context.map.markZeroes(at: mark) }
        for index in 0..<issued {
            let flexpage = context.table[ids[index]]
            var bits = PageState.prefetched
            if let mark, flexpage.covered.contains(mark) { bits |= PageState.marked }
            context.table.word(ids[index]).pointee.state.bitwiseOr(bits, ordering: .relaxed)
        }
        let none = BasePage.offset(of: covered.lowerBound)
        _ = publish(lending: none..<none, on: shard)
    }

    /// Lends the flexpages in flight to a writer who will populate them, all of them and dirty: nobody else sees them
    /// before the loan ends. There are no more of them than a loan takes. The shard's lock is held.
    func publish(writing wanted: Range<Int64>, dirtied: inout Int) -> Loan {
        var loan = Loan(context, at: wanted.lowerBound, exclusively: true, fresh: true)
        let word =
            PageState.populated | PageState.dirty | PageState.exclusive | PageState.fresh | PageState.pin
        for index in 0..<issued {
            context.table.word(ids[index]).pointee.state.store(word, ordering: .releasing)
            loan.add(ids[index], upTo: wanted.upperBound)
        }
        dirtied += context.map.markDirty(covered)
        context.queue.append(count: issued) { ids[$0] }
        return loan
    }

    /// Takes the flexpages in flight out of the AccessMap again and wakes those who wait for them: with the error where
    /// one base page alone was in flight, else to try for themselves. The shard's lock is held; it frees nothing yet.
    func withdraw(_ error: AccessError, on shard: UnsafeMutablePointer<Shard>) {
        let code = isOneBasePage ? UInt32(error.code) << PageState.errorShift : 0
        for index in 0..<issued {
            context.map.remove(ids[index])
            context.table.word(ids[index]).pointee.state.bitwiseOr(
                PageState.withdrawn | code, ordering: .releasing)
        }
        shard.wakeAll()
        shard.pointee.failedFills += 1
    }

    /// Gives the filler's pins on withdrawn flexpages back. No lock is held.
    func giveBackWithdrawn() { giveBack(0..<issued) }

    /// Gives the filler's pins on some of `ids`, which are in no map any more, back. No lock is held.
    func giveBack(_ indices: Range<Int>) {
        for index in indices {
            // The pin keeps the record.
            let page = context.table[ids[index]].pointee.key.page
            context.giveBack(ids[index], covering: page)
        }
    }

    /// Whether it is as small as a fill can be, so that its error is that of the page.
    var isOneBasePage: Bool { covered.count == 1 }
}
