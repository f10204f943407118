import Glibc

/// Of one image: supplies populated flexpages, using the AccessMap, Pages and the Accessor.
///
/// `lend` is the way of a read: what is resident is lent at once, under one lock of the chunk; what somebody else is
/// filling is waited for; what is missing is filled, with no lock held, and lent. A request walks its range with it, a
/// loan at a time, and holds nothing while it waits (invariant 9).
///
/// A hit costs a lock, a look-up, an atomic word a flexpage to pin it and one to give it back; it allocates nothing and
/// retains nothing.
struct PageMapper: ~Copyable, @unchecked Sendable {
    /// What loans, fills and write-outs need of it.
    let context: Context
    let pages: Pages
    let accessor: any Accessor
    /// Bytes in the image.
    let size: Int64

    init(image: UInt16, pages: Pages, accessor: any Accessor) {
        self.pages = pages
        self.accessor = accessor
        size = accessor.size
        context = Context(image: image, pages: pages, imageSize: size)
    }

    deinit { context.destroy() }

    /// Tells whose it is.
    func attach(to provider: Provider) { context.attach(to: provider) }

    /// How far a request has come.
    struct RequestProgress {
        /// What this request had populated reaches up to here, so finding it is not a hit.
        var populatedUpTo: Int64 = 0
        /// The image has been asked for holes up to here.
        var askedUpTo: Int64 = 0
        /// A wide fill has failed; up to here fills are one base page each, so that only the bad page fails.
        var cautiousUpTo: Int64 = 0
        /// A writer's place among those who wait at the dirty limit, and up to where it has it.
        var turn: UInt64 = 0
        var turnUpTo: Int64 = 0
    }

    /// Lends populated flexpages for the beginning of `range`, as many as can be had at once and at least one.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Throws: The Accessor's error for the first base page of `range`; that which keeps dirty pages from going out,
    ///   where these are all of the memory.
    @inline(__always)
    func lend(_ range: Range<Int64>, _ progress: inout RequestProgress) throws(AccessError) -> Loan {
        let wanted = Chunk.first(of: range)
        let page = BasePage.number(of: wanted.lowerBound)
        let hash = context.map.chunkHash(of: page)
        context.map.prefetch(page, at: hash)
        let shard = context.map.shard(at: hash)
        shard.lock()
        let loan = context.lendResident(wanted, at: hash, countingFrom: progress.populatedUpTo)
        if loan.count > 0 {
            shard.unlock()
            if let mark = loan.mark { noteArrival(at: mark) }
            return loan
        }
        _ = consume loan
        return try supply(wanted, on: shard, &progress)
    }

    /// `lend` for a range whose first page is not at hand. `shard` is locked on entry and not on return.
    @inline(never)
    private func supply(
        _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ progress: inout RequestProgress
    ) throws(AccessError) -> Loan {
        let page = BasePage.number(of: wanted.lowerBound)
        let hash = context.map.chunkHash(of: page)
        while true {
            let loan = context.lendResident(wanted, at: hash, countingFrom: progress.populatedUpTo)
            if loan.count > 0 {
                shard.unlock()
                if let mark = loan.mark { noteArrival(at: mark) }
                return loan
            }
            let id = context.map.flexpage(at: page, hash)
            if id == .none {
                if let loan = lendZeroes(wanted, on: shard, countingFrom: progress.populatedUpTo) { return loan }
                if isWorthAsking(at: wanted.lowerBound, &progress) {
                    shard.unlock()
                    askForHole(at: wanted.lowerBound, on: shard)
                    shard.lock()
                    continue
                }
                let run = missingRun(of: wanted, cautious: wanted.lowerBound < progress.cautiousUpTo)
                shard.unlock()
                if progress.populatedUpTo <= wanted.lowerBound { noteMiss(wanted) }
                if let loan = try fill(run, for: wanted, on: shard, &progress) { return loan }
                shard.lock()
            } else if mustBeReleased(id) {
                context.waitUntilReleased(id, on: shard)
            } else if try waitForFill(of: id, at: page, on: shard, &progress) {
                var loan = Loan(context, at: wanted.lowerBound)
                loan.add(id, upTo: wanted.upperBound)
                let mark = context.takeMark(of: id)
                shard.unlock()
                if let mark { noteArrival(at: mark) }
                return loan
            }
        }
    }

    /// Whether who wants flexpage `id`, which could not be lent, is to wait for those who have it; else for its fill.
    private func mustBeReleased(_ id: FlexpageID) -> Bool {
        let state = PageState(context.table.word(id).pointee.state.load(ordering: .acquiring))
        return state.has(PageState.populated) || state.pins >= PageState.maxPins
    }

    /// The base pages from the first of `wanted` on that no flexpage covers, as far as one fill can reach. The shard's
    /// lock is held.
    private func missingRun(of wanted: Range<Int64>, cautious: Bool) -> Range<UInt64> {
        let wantedPages = BasePage.numbers(covering: wanted)
        let maxCount = cautious ? 1 : UInt64(pages.maxFramesOfFill)
        let limit = min(wantedPages.upperBound, wantedPages.lowerBound + maxCount)
        return wantedPages.lowerBound..<endOfMissing(from: wantedPages.lowerBound, upTo: limit)
    }

    /// Waits for somebody else's fill of flexpage `id`. The shard's lock is held before and, unless this throws, after.
    /// - Returns: True if the page is populated, and pinned for the caller; false if the caller must look again.
    private func waitForFill(
        of id: FlexpageID, at page: UInt64, on shard: UnsafeMutablePointer<Shard>, _ progress: inout RequestProgress
    ) throws(AccessError) -> Bool {
        let flexpage = context.table.word(id)
        flexpage.pointee.state.wrappingAdd(PageState.pin, ordering: .relaxed)
        var state: PageState
        repeat {
            flexpage.pointee.state.bitwiseOr(PageState.hasWaiters, ordering: .relaxed)
            shard.wait()
            state = PageState(flexpage.pointee.state.load(ordering: .acquiring))
        } while !state.has(PageState.populated | PageState.withdrawn)
        if state.has(PageState.populated) { return true }
        // What failed was wider than a page, or it was just this page.
        progress.cautiousUpTo = BasePage.offset(of: context.table[id].covered.upperBound)
        shard.unlock()
        context.giveBack(id, covering: page)
        guard state.error == 0 else { throw AccessError(state.error) }
        shard.lock()
        return false
    }

    /// Populates as much of `run` as there is memory for, and lends what `wanted` begins with. No lock is held.
    /// - Parameter keepingZeroes: What is found to be zeroes stays, because the caller is about to write there.
    /// - Returns: Nil where the caller must look again: memory was short, or somebody else was faster, or a wide fill
    ///   failed and the pages are now to be tried one by one.
    func fill(
        _ run: Range<UInt64>, for wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>,
        _ progress: inout RequestProgress,
        keepingZeroes: Bool = false
    ) throws(AccessError) -> Loan? {
        guard var fill = try plan(run, on: shard) else { return nil }
        let early = Flaw.earlyReservationCheck.isPlanted ? context.reservations.overlaps(fill.covered) : nil
        shard.lock()
        let isReserved = early ?? context.reservations.overlaps(fill.covered)
        let isInFlight = !isReserved && fill.issue()
        shard.unlock()
        guard isInFlight else {
            let reserved = fill.covered
            _ = consume fill
            if isReserved { context.reservations.wait(for: reserved) }
            return nil
        }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, on: shard)
        } catch {
            progress.cautiousUpTo = BasePage.offset(of: fill.covered.upperBound)
            if fill.isOneBasePage { throw error }
            return nil
        }
        let isAllZero = fill.findZeroes(keeping: keepingZeroes)
        shard.lock()
        shard.pointee.misses += UInt64(fill.covered.count)
        let loan = fill.publish(lending: wanted, on: shard)
        assert(!loan.range.isEmpty, "what a request begins with has been populated, or is zeroes")
        shard.unlock()
        fill.giveBackDropped()
        progress.populatedUpTo = BasePage.offset(of: fill.covered.upperBound)
        context.waiters.wake()
        // A writer keeps zeroes, and holds a loan of them: who holds a loan asks nobody anything.
        if isAllZero, !keepingZeroes { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), on: shard) }
        return loan
    }

    /// A fill of the beginning of `run`, or nil after having slept until there may be memory for one.
    /// - Throws: The error that keeps dirty pages from going out, where these are all of the Memory.
    func plan(
        _ run: Range<UInt64>, maxCount: Int = 256, on shard: UnsafeMutablePointer<Shard>
    ) throws(AccessError) -> Fill? {
        let fill = Fill(run, maxCount: maxCount, context: context, pages: pages)
        if fill.count > 0 { return fill }
        let ticket = context.waiters.begin()
        let again = Fill(run, maxCount: maxCount, context: context, pages: pages)
        if again.count > 0 {
            context.waiters.end()
            return again
        }
        if let error = pages.noMemoryBecause {
            context.waiters.end()
            throw error
        }
        shard.lock()
        shard.pointee.waits += 1
        shard.unlock()
        pages.writebackQueue.kick()
        context.waiters.sleep(ticket)
        return nil
    }
}
