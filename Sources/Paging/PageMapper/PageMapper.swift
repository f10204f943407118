import Glibc

/// Of one image: supplies populated flexpages, using the AccessMap, Pages and the Accessor.
///
/// `lend` serves a read. It lends at once what is resident, under one lock of the chunk. It waits for what another
/// thread is filling. It fills what is missing, with no lock held, and lends it. A request walks along its range, one
/// loan at a time, and holds nothing while it waits (invariant 9). PageMapper+Writing does the same for a write.
///
/// A hit costs a lock and a look-up. For each flexpage it changes an atomic word twice: to pin it and to give it back.
/// It allocates nothing and retains nothing.
struct PageMapper: ~Copyable, @unchecked Sendable {
    /// What loans, fills and write-outs need of the image.
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

    /// Tells it which Provider it belongs to. Once, before the first request.
    func attach(to provider: Provider) { context.attach(to: provider) }

    /// Lends populated flexpages for the beginning of `range`: as many as there are at once, and at least one.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Throws: The Accessor's error for the first base page of `range`; if all of the memory is dirty and none of it
    ///   can be written out, the error of that.
    @inline(__always)
    func lend(_ range: Range<Int64>, _ progress: inout RequestProgress) throws(AccessError) -> Loan {
        assert(range.lowerBound >= 0 && range.upperBound <= size, "a request lies in the image")
        let wanted = Chunk.first(of: range)
        let page = BasePage.number(of: wanted.lowerBound)
        let hashed = context.map.chunk(of: page)
        context.map.prefetch(page, in: hashed)
        let chunk = hashed.lock()
        let first = context.map.flexpage(at: page, in: chunk)
        let loan = context.lendResident(wanted, from: first, in: chunk, countingFrom: progress.populatedUpTo)
        if loan.count > 0 {
            chunk.unlock()
            if let mark = loan.mark { noteArrival(at: mark) }
            return loan
        }
        _ = consume loan
        return try supply(wanted, from: first, in: chunk, &progress)
    }

    /// `lend` for a range whose first page could not be lent at once: `first` covers it, or it is missing.
    @inline(never)
    private func supply(
        _ wanted: Range<Int64>, from first: FlexpageID, in chunk: consuming LockedChunk,
        _ progress: inout RequestProgress
    ) throws(AccessError) -> Loan {
        let page = BasePage.number(of: wanted.lowerBound)
        var id = first
        while true {
            if id == .none {
                let zeroes = context.lendZeroes(wanted, in: chunk, countingFrom: progress.populatedUpTo)
                if !zeroes.range.isEmpty { return hand(over: zeroes, unlocking: chunk) }
                _ = consume zeroes
                let isWorthAsking = isWorthAsking(at: wanted.lowerBound, &progress)
                let run = isWorthAsking ? nil : missingRun(of: wanted, progress, in: chunk)
                let hashed = chunk.unlock()
                if let run {
                    if progress.populatedUpTo <= wanted.lowerBound { noteMiss(wanted, reading: run) }
                    if let loan = try fill(run, for: wanted, in: hashed, &progress) { return loan }
                } else {
                    askForHole(at: wanted.lowerBound, in: hashed)
                }
                chunk = hashed.lock()
            } else if mustBeReleased(id) {
                context.waitUntilReleased(id, in: chunk)
            } else {
                let state = context.pinAndWaitForFill(of: id, in: chunk)
                if state.has(PageState.populated) {
                    return hand(over: context.lendAwaited(id, wanted, in: chunk), unlocking: chunk)
                }
                let hashed = chunk.unlock()
                try giveUpWithdrawn(id, state, covering: page, &progress)
                chunk = hashed.lock()
            }
            id = context.map.flexpage(at: page, in: chunk)
            let loan = context.lendResident(wanted, from: id, in: chunk, countingFrom: progress.populatedUpTo)
            if loan.count > 0 { return hand(over: loan, unlocking: chunk) }
        }
    }

    /// Gives up the lock and returns the loan. If it covers a mark, the next window is read ahead.
    private func hand(over loan: consuming Loan, unlocking chunk: consuming LockedChunk) -> Loan {
        chunk.unlock()
        if let mark = loan.mark { noteArrival(at: mark) }
        return loan
    }

    /// Whether flexpage `id`, which could not be lent, is populated: then the caller waits until it has been released.
    /// If not, the caller waits for its fill, unless it has all the pins that there can be.
    private func mustBeReleased(_ id: FlexpageID) -> Bool {
        let state = context.table.state(of: id)
        return state.has(PageState.populated) || state.pins >= PageState.maxPins
    }
}
