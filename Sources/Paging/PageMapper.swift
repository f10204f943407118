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
    /// What pinning and giving back need: pointers, cheap to copy, with nothing to retain.
    struct Reach: @unchecked Sendable {
        let map: AccessMap
        let table: FlexpageTable
        let queue: PageQueue
        let waiters: MemoryWaiters
        /// To free the Region of a failed fill; outlives every loan.
        unowned(unsafe) let pages: Pages
    }

    let reach: Reach
    let pages: Pages
    let accessor: any Accessor

    init(image: UInt16, pages: Pages, accessor: any Accessor) {
        self.pages = pages
        self.accessor = accessor
        reach = Reach(
            map: pages.accessMap(ofImage: image), table: pages.table, queue: pages.queue, waiters: pages.waiters,
            pages: pages)
    }

    /// How far a request has come.
    struct Walk {
        /// What this request had populated reaches up to here, so finding it is not a hit.
        var populatedUpTo: Int64 = 0
        /// A wide fill has failed; up to here fills are one base page each, so that only the bad page fails.
        var cautiousUpTo: Int64 = 0
    }

    /// Lends populated flexpages for the beginning of `range`, as many as can be had at once and at least one.
    /// - Parameter range: Bytes inside the image, not empty.
    /// - Throws: The Accessor's error for the first base page of `range`.
    @inline(__always)
    func lend(_ range: Range<Int64>, _ walk: inout Walk) throws(AccessError) -> Loan {
        let wanted = Chunk.first(of: range)
        let shard = reach.map.shard(of: BasePage.number(of: wanted.lowerBound))
        shard.lock()
        let loan = reach.lendResident(wanted, on: shard, countingFrom: walk.populatedUpTo)
        if loan.count > 0 {
            shard.unlock()
            return loan
        }
        _ = consume loan
        return try supply(wanted, on: shard, &walk)
    }

    /// `lend` for a range whose first page is not at hand. `shard` is locked on entry and not on return.
    @inline(never)
    private func supply(
        _ wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ walk: inout Walk
    ) throws(AccessError) -> Loan {
        while true {
            let loan = reach.lendResident(wanted, on: shard, countingFrom: walk.populatedUpTo)
            if loan.count > 0 {
                shard.unlock()
                return loan
            }
            let id = reach.map.flexpage(at: BasePage.number(of: wanted.lowerBound))
            if id == .none {
                let run = missingRun(of: wanted, cautious: wanted.lowerBound < walk.cautiousUpTo)
                shard.unlock()
                if let loan = try fill(run, for: wanted, on: shard, &walk) { return loan }
                shard.lock()
            } else if PageState(reach.table[id].pointee.state.load(ordering: .acquiring)).has(PageState.populated) {
                reach.waitUntilLendable(id, on: shard)
            } else if try waitForFill(of: id, on: shard, &walk) {
                var loan = Loan(reach, at: wanted.lowerBound)
                loan.add(id, upTo: wanted.upperBound)
                shard.unlock()
                return loan
            }
        }
    }

    /// The base pages from the first of `wanted` on that no flexpage covers. The shard's lock is held.
    private func missingRun(of wanted: Range<Int64>, cautious: Bool) -> Range<UInt64> {
        let pages = BasePage.numbers(covering: wanted)
        var end = pages.lowerBound + 1
        while !cautious, end < pages.upperBound, reach.map.flexpage(at: end) == .none { end += 1 }
        return pages.lowerBound..<end
    }

    /// Waits for somebody else's fill of flexpage `id`. The shard's lock is held before and, unless this throws, after.
    /// - Returns: True if the page is populated, and pinned for the caller; false if the caller must look again.
    private func waitForFill(
        of id: FlexpageID, on shard: UnsafeMutablePointer<Shard>, _ walk: inout Walk
    ) throws(AccessError) -> Bool {
        let flexpage = reach.table[id]
        flexpage.pointee.state.add(PageState.pin, ordering: .relaxed)
        var state: PageState
        repeat {
            flexpage.pointee.state.bitwiseOr(PageState.awaited, ordering: .relaxed)
            shard.wait()
            state = PageState(flexpage.pointee.state.load(ordering: .acquiring))
        } while !state.has(PageState.populated | PageState.failed)
        if state.has(PageState.populated) { return true }
        // What failed was wider than a page, or it was just this page.
        walk.cautiousUpTo = BasePage.offset(of: flexpage.pointee.covered.upperBound)
        shard.unlock()
        reach.giveBack(id)
        guard state.error == 0 else { throw AccessError(state.error) }
        shard.lock()
        return false
    }

    /// Populates as much of `run` as there is memory for, and lends what `wanted` begins with. No lock is held.
    /// - Returns: Nil where the caller must look again: memory was short, or somebody else was faster, or a wide fill
    ///   failed and the pages are now to be tried one by one.
    private func fill(
        _ run: Range<UInt64>, for wanted: Range<Int64>, on shard: UnsafeMutablePointer<Shard>, _ walk: inout Walk
    ) throws(AccessError) -> Loan? {
        guard var fill = plan(run, on: shard) else { return nil }
        shard.lock()
        let isInFlight = fill.issue()
        shard.unlock()
        guard isInFlight else { return nil }
        do throws(AccessError) {
            try fill.populate(from: accessor)
        } catch {
            shard.lock()
            fill.withdraw(error, on: shard)
            shard.unlock()
            fill.giveBackWithdrawn()
            walk.cautiousUpTo = BasePage.offset(of: fill.covered.upperBound)
            if fill.isOneBasePage { throw error }
            return nil
        }
        shard.lock()
        shard.pointee.misses += UInt64(fill.covered.count)
        let loan = fill.publish(lending: wanted, on: shard)
        shard.unlock()
        walk.populatedUpTo = BasePage.offset(of: fill.covered.upperBound)
        reach.waiters.wake()
        return loan
    }

    /// A fill of the beginning of `run`, or nil after having slept until there may be memory for one.
    private func plan(_ run: Range<UInt64>, on shard: UnsafeMutablePointer<Shard>) -> Fill? {
        let fill = Fill(run, reach: reach, pages: pages)
        if fill.count > 0 { return fill }
        let ticket = reach.waiters.begin()
        let again = Fill(run, reach: reach, pages: pages)
        if again.count > 0 {
            reach.waiters.end()
            return again
        }
        shard.lock()
        shard.pointee.waits += 1
        shard.unlock()
        reach.waiters.sleep(ticket)
        return nil
    }
}
