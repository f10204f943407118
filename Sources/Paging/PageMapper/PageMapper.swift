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
}
