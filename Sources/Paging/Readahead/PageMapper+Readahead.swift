/// Reading ahead: a thread of the Prefetcher fills the pages. They are lent to no client, and dropped if the read
/// fails.
extension PageMapper {
    /// A client has missed `wanted`, and reads `run`, which may go on past that. Queues what should be read ahead now.
    func noteMiss(_ wanted: Range<Int64>, reading run: Range<UInt64>) {
        guard !context.readahead.isOff else { return }
        let missed = BasePage.numbers(covering: wanted)
        context.readahead.on.missed(UInt64(missed.count))
        // To its stream, a reader has come as far as its read goes on. So a window begins behind that.
        let reached = missed.lowerBound..<max(missed.upperBound, run.upperBound)
        submit(context.readahead.missed(reached, unused: takeUnused()))
    }

    /// A client has reached the marked page. Queues the next window.
    @inline(never)
    func noteArrival(at page: UInt64) {
        submit(context.readahead.arrived(at: page, unused: takeUnused()))
    }

    /// What has been read ahead in vain since the last call. Reading on pays for all of it.
    private func takeUnused() -> ReadaheadWaste.Unused {
        let unused = pages.readaheadWaste.take(ofImage: context.map.image)
        context.readahead.on.wasted(unused.count)
        return unused
    }

    private func submit(_ plan: ReadaheadPlan) {
        guard !plan.isEmpty, let provider = context.provider else { return }
        pages.prefetches.submit(plan, of: provider)
    }

    /// Populates what is missing of `run`, base pages of one chunk, as far as there is memory at once. No client hears
    /// of its errors.
    /// - Parameter mark: The page of the run, the first or the last, that gets the mark: a client that reaches it
    ///   triggers the next window.
    func readAhead(_ run: Range<UInt64>, mark: UInt64?) {
        assert(mark.map(run.contains) ?? true, "the mark is on a page of the run")
        let hashed = context.map.chunk(of: run.lowerBound)
        let isMarkedAtBegin = mark == run.lowerBound
        var mark = mark
        var left = run
        var progress = RequestProgress()
        while !left.isEmpty {
            let chunk = hashed.lock()
            let vacant = context.map.vacantPages(in: left, of: chunk)
            let missing = vacant.subtracting(context.map.knownZeroes(in: chunk))
            if let wanted = mark, left.contains(wanted) {
                mark = setMark(at: wanted, in: left, vacant: vacant, upwards: isMarkedAtBegin, chunk)
            }
            chunk.unlock()
            let begin = missing.end(ofGapFrom: left.lowerBound, upTo: left.upperBound)
            guard begin < left.upperBound else { return }
            if isWorthAsking(at: BasePage.offset(of: begin), &progress) {
                askForHole(at: BasePage.offset(of: begin), in: hashed)
                continue
            }
            let run = begin..<endOfRead(of: missing, from: begin, upTo: left.upperBound)
            let resident = PageSet(run).subtracting(vacant)
            guard let populated = readAheadOnce(run, over: resident, mark: mark, in: hashed) else { return }
            left = max(populated, left.lowerBound + 1)..<max(left.upperBound, populated)
        }
    }

    /// Chooses the page that gets the mark: `mark`, or if somebody has used that already the nearest page that nobody
    /// has. That is one of `vacant`, which are missing or known to be zeroes, or one that another read went on for. A
    /// missing page gets the mark when it has been read, all others at once.
    /// - Returns: The page that has the mark or will have it.
    private func setMark(
        at mark: UInt64, in pages: Range<UInt64>, vacant: PageSet, upwards: Bool, _ chunk: borrowing LockedChunk
    ) -> UInt64? {
        func isNew(_ page: UInt64) -> Bool { vacant.contains(page) || unused(page, chunk) != .none }
        let page =
            upwards
            ? (mark..<pages.upperBound).first(where: isNew) : (pages.lowerBound..<mark + 1).last(where: isNew)
        guard let page else { return nil }
        if vacant.contains(page) {
            context.map.markZeroes(at: page, in: chunk)
        } else {
            let word = context.table.word(unused(page, chunk))
            word.pointee.state.bitwiseOr(PageState.marked, ordering: .relaxed)
        }
        return page
    }

    /// The flexpage that covers `page`, if no client has used it yet; otherwise `.none`.
    private func unused(_ page: UInt64, _ chunk: borrowing LockedChunk) -> FlexpageID {
        let id = context.map.flexpage(at: page, in: chunk)
        return id != .none && context.table.state(of: id).has(PageState.prefetched) ? id : .none
    }

    /// Populates the beginning of `run` with one read.
    /// - Parameter over: Pages of the run that are resident or not wanted, over which it reads.
    /// - Parameter wanted: What is to be warmed of the chunk; nil if the pages are read ahead.
    /// - Returns: The page at which it stopped, or nil if there was no memory or the image could not be read.
    func readAheadOnce(
        _ run: Range<UInt64>, over resident: PageSet, mark: UInt64? = nil, warming wanted: WarmPages? = nil,
        in hashed: HashedChunk
    ) -> UInt64? {
        var fill = Fill(run, over: resident, isWarming: wanted != nil, context: context, pages: pages)
        guard fill.count > 0 else { return nil }
        let isInFlight = hashed.withLock { chunk in
            !context.reservations.overlaps(fill.covered) && fill.issue(in: chunk)
        }
        guard isInFlight else { return nil }
        if wanted != nil { pages.prefetches.beginWarmCall() }
        defer { if wanted != nil { pages.prefetches.endWarmCall() } }
        do throws(AccessError) {
            try fill.populateOrWithdraw(from: accessor, in: hashed)
        } catch {
            _ = consume fill
            guard !resident.isEmpty, wanted == nil else { return nil }
            // Perhaps only the resident pages that it read over cannot be read.
            let end = resident.end(ofGapFrom: run.lowerBound, upTo: run.upperBound)
            return readAheadOnce(run.lowerBound..<end, over: PageSet(), mark: mark, in: hashed)
        }
        let isAllZero = fill.findZeroes()
        hashed.withLock { chunk in
            if let wanted { fill.publishWarm(wanted, in: chunk) } else { fill.publishAhead(mark: mark, in: chunk) }
        }
        fill.note(.ahead, in: hashed)
        fill.giveBackDropped()
        context.waiters.wake()
        if isAllZero, wanted == nil { askForHole(at: BasePage.offset(of: fill.covered.lowerBound), in: hashed) }
        return fill.covered.upperBound
    }
}
