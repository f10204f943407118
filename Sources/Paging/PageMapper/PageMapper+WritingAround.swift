import Glibc

/// How a write is served that begins or ends inside a base page that is not resident: around the Memory, straight to
/// the image.
///
/// To keep a part of a page, the pager would have to read the rest of it first, and a write would wait for a read. On a
/// volume that is limited in its reads, nothing is dearer. (Of a trace of a virtual machine whose partition begins
/// inside a page, these were more than half of all reads.) So the parts go to the image at once, in whole sectors, and
/// their pages stay out of the Memory until a reader wants them. The whole pages between two parts go with them, in one
/// write, and stay in the Memory. A part that is written again is another matter: its page is filled, and later writes
/// of it cost no I/O (`WrittenParts`).
///
/// **Order.** The pages, none of them resident, are reserved meanwhile: fills and writes that want them wait. What was
/// under way before is in the AccessMap, and so is not written around. Nothing of the range is resident or dirty, and
/// nothing older can come out later. When the request is answered, the image has the bytes. The whole pages are a fill,
/// populated by the client's bytes instead of the image's, and published when the image has them. A write that cannot
/// have its reservation at once has its page filled. If the page cannot be filled, the write tries once more to go
/// around: a bad sector is repaired by a write, and harms no write of its neighbours.
///
/// **Durability.** The whole pages are like any that have been written out. The parts are in no memory, like what has
/// been zeroed: a failed sync loses them for good, so `SyncRisk` counts the write as a change.
extension PageMapper {
    /// What is written around at the beginning of `wanted`, whose first page is missing and would have to be read: that
    /// part of the page and what follows it, as far as it is missing too. Nil if it is better to fill the page.
    /// - Parameter ifWorth: Only if that costs less than to fill the pages, as far as is known.
    func partToWriteAround(
        of wanted: Range<Int64>, in hashed: HashedChunk, ifWorth: Bool = true
    ) -> Range<Int64>? {
        guard let unit = accessor.partUnit.map(Int64.init) else { return nil }
        assert(unit > 0 && unit < BasePage.size && unit & (unit - 1) == 0, "a unit divides a base page")
        guard (wanted.lowerBound | wanted.upperBound) & (unit - 1) == 0 else { return nil }
        let pages = BasePage.numbers(covering: wanted)
        func isWorth(_ page: UInt64) -> Bool { !ifWorth || isWorthWritingAround(wanted, in: page) }
        guard isWorth(pages.lowerBound) else { return nil }
        let end = hashed.withLock { chunk in
            context.map.vacantPages(in: pages, of: chunk).end(ofRunFrom: pages.lowerBound, upTo: pages.upperBound)
        }
        let last = pages.upperBound - 1
        if end > last, pages.count == 1 || isWorth(last) { return wanted }
        // Another thread may have made the first page resident.
        let limit = BasePage.offset(of: min(end, last))
        return limit > wanted.lowerBound ? wanted.lowerBound..<limit : nil
    }

    private func isWorthWritingAround(_ range: Range<Int64>, in page: UInt64) -> Bool {
        let part = range.part(inPage: page)
        return part.count == BasePage.size || pages.writtenParts.isWorthWritingAround(part, of: key(of: page))
    }

    private func key(of page: UInt64) -> PageKey { PageKey(image: context.map.image, page: page) }

    /// Writes `part` to the image, or the beginning of it: as much as is missing, and as there is memory for. No lock
    /// is held.
    /// - Parameter source: The bytes, or nil for zeroes.
    /// - Returns: A loan of what has been written; nil if the first page is not missing any more, or if the write would
    ///   have to wait.
    /// - Throws: The image's error. Some of the bytes may have been written then.
    func writeAround(
        _ part: Range<Int64>, of source: UnsafeRawPointer?, in hashed: HashedChunk
    ) throws(AccessError) -> Loan? {
        let reserved = BasePage.numbers(covering: part)
        guard context.reservations.reserveAtOnce(reserved) else { return nil }
        defer { context.reservations.release(reserved, isReplacement: false) }
        let whole = part.wholePages(ofImage: .max)
        var fill: Fill?
        if !whole.isEmpty { fill = Fill(whole, context: context, pages: pages) }
        let stamp = context.map.risk.failureStamp
        let chunk = hashed.lock()
        guard mustBeRead(reserved.lowerBound, in: chunk) else {
            chunk.unlock()
            return nil
        }
        chunk.shard.pointee.writeLoans += 1
        let inFlight = fill?.issue(in: chunk) ?? false ? fill?.covered : nil
        let end = end(ofWriting: part, whole: whole, inFlight: inFlight, in: chunk)
        chunk.unlock()
        let written = part.lowerBound..<end
        let result = write(written, of: source, with: &fill)
        hashed.withLock { chunk in endWritingAround(written, result, &fill, since: stamp, in: chunk) }
        if case .failure = result { fill?.giveBackWithdrawn() }
        context.waiters.wake()
        try result.get()
        noteWritten(written)
        if let inFlight { context.note(.write, inFlight, in: hashed) }
        return Loan(context, writtenAround: written)
    }

    private func noteWritten(_ written: Range<Int64>) {
        let pages = BasePage.numbers(covering: written)
        noteWritten(written.part(inPage: pages.lowerBound), of: pages.lowerBound)
        if pages.count > 1 { noteWritten(written.part(inPage: pages.upperBound - 1), of: pages.upperBound - 1) }
    }

    private func noteWritten(_ part: Range<Int64>, of page: UInt64) {
        if part.count < BasePage.size { pages.writtenParts.note(part, of: key(of: page)) }
    }

    /// Whether `page` can only be resident after a read.
    private func mustBeRead(_ page: UInt64, in chunk: borrowing LockedChunk) -> Bool {
        context.map.flexpage(at: page, in: chunk) == .none && !context.map.knownZeroes(in: chunk).contains(page)
    }

    /// Where the write of `part` ends: behind what is in flight of its `whole` pages, or behind the part of a page that
    /// follows all of them.
    private func end(
        ofWriting part: Range<Int64>, whole: Range<UInt64>, inFlight: Range<UInt64>?, in chunk: borrowing LockedChunk
    ) -> Int64 {
        let pages = BasePage.numbers(covering: part)
        let end = inFlight?.upperBound ?? pages.lowerBound + 1
        let isLastNext = end == pages.upperBound - 1 && (whole.isEmpty || inFlight == whole)
        if isLastNext, mustBeRead(end, in: chunk) { return part.upperBound }
        return min(BasePage.offset(of: end), part.upperBound)
    }

    /// The write has ended, in whatever way.
    private func endWritingAround(
        _ written: Range<Int64>, _ result: Result<Void, AccessError>, _ fill: inout Fill?, since stamp: UInt64,
        in chunk: borrowing LockedChunk
    ) {
        let pages = BasePage.numbers(covering: written)
        forgetZeroes(ofPart: pages.lowerBound, in: chunk)
        forgetZeroes(ofPart: pages.upperBound - 1, in: chunk)
        chunk.shard.pointee.writeLoans += 1
        switch result {
        case .success:
            fill?.publishWritten(syncFailureStamp: stamp, in: chunk)
            chunk.shard.pointee.writes += 1
            chunk.shard.pointee.pagesWritten += UInt64(pages.count)
            context.map.counters.countWrite(pages.count)
        case .failure:
            fill?.withdrawUnwritten(in: chunk)
            chunk.shard.pointee.failedWrites += 1
            context.map.counters.countFailedWrite()
        }
    }

    /// A thread that has asked for holes meanwhile may have been told of one that is none any more (`askForHole`).
    private func forgetZeroes(ofPart page: UInt64, in chunk: borrowing LockedChunk) {
        guard context.map.flexpage(at: page, in: chunk) == .none else { return }
        context.map.forgetZeroes(in: page..<page + 1, of: chunk)
    }

    // MARK: The write itself

    /// Writes `written` to the image: the whole pages from their frames, the parts of the first and the last page from
    /// 8 KiB of the stack. No lock is held.
    private func write(
        _ written: Range<Int64>, of source: UnsafeRawPointer?, with fill: inout Fill?
    ) -> Result<Void, AccessError> {
        LockRank.assertNoneHeld()
        assert(!accessor.isChangeDurable, "a part is durable after a sync, and a failed one loses it")
        let whole = written.wholePages(ofImage: .max)
        let head = written.lowerBound..<(whole.isEmpty ? written.endOfFirstPage : BasePage.offset(of: whole.lowerBound))
        let tail = (whole.isEmpty ? head.upperBound : BasePage.offset(of: whole.upperBound))..<written.upperBound
        var room = InlineArray<1536, UInt64>(repeating: 0)
        var span = room.mutableSpan
        return span.withUnsafeMutableBytes { room in
            let memory = room.baseAddress!.alignedUp(toMultipleOf: BasePage.size)
            var pieces = InlineArray<256, iovec>(repeating: iovec())
            var count = 0
            func add(_ part: Range<Int64>, in memory: UnsafeMutableRawPointer) {
                if part.isEmpty { return }
                KeptState.copy(to: memory, from: source.map { $0 + part.offset(in: written) }, count: part.count)
                pieces[count] = iovec(iov_base: memory, iov_len: part.count)
                count += 1
            }
            add(head, in: memory)
            if !whole.isEmpty {
                fill?.populate(with: source, of: written)
                count = fill?.collect(&pieces, from: count) ?? count
            }
            add(tail, in: memory + BasePage.size)
            return pieces.span.extracting(first: count).withUnsafeBufferPointer { write($0, at: written.lowerBound) }
        }
    }

    private func write(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) -> Result<Void, AccessError> {
        do throws(AccessError) {
            return .success(
                try context.map.counters.countingCall { () throws(AccessError) in
                    try context.latencies.writeOuts.measure { () throws(AccessError) in
                        try atRisk { () throws(AccessError) in try accessor.writeParts(pieces, at: offset) }
                    }
                })
        } catch {
            return .failure(error)
        }
    }
}

extension Range<Int64> {
    /// Where the first base page of these bytes ends, or they.
    fileprivate var endOfFirstPage: Int64 {
        Swift.min(BasePage.offset(of: BasePage.number(of: lowerBound) + 1), upperBound)
    }

    /// What of these bytes lies in `page`, from the page's beginning.
    fileprivate func part(inPage page: UInt64) -> Range<Int64> {
        let begin = BasePage.offset(of: page)
        let part = clamped(to: begin..<begin + Int64(BasePage.size))
        return part.lowerBound - begin..<part.upperBound - begin
    }

    /// How far into `whole` they begin, bytes.
    fileprivate func offset(in whole: Range<Int64>) -> Int { Int(lowerBound - whole.lowerBound) }
}
