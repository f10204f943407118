import Glibc
import TestSupport
import Testing

@testable import Paging

/// Dirty pages go out in runs of neighbours, many at once, and the outcome of each run is known.
@Suite struct WriteBatchTests {
    /// Writes out what is dirty of `pages` in one batch, leaf by leaf.
    private static func writeOut(_ pages: Range<UInt64>, of rig: ObservedRig) -> AccessError? {
        var batch = WriteBatch(rig.provider.mapper.context, rig.image)
        var page = pages.lowerBound
        while page < pages.upperBound {
            batch.writeOut(leafOf: page, in: pages)
            page = (page | 7) + 1
        }
        batch.finish()
        return batch.error
    }

    private func runs(_ rig: ObservedRig) -> [[Range<UInt64>]] { rig.image.calls.map(\.runs) }

    /// Pages side by side are one run, over leaves and chunks, wherever their memory lies. Each of them gets to its
    /// offset.
    @Test(arguments: [0..<40, 250..<262, 5..<6] as [Range<UInt64>])
    func neighboursAreOneRun(pages: Range<UInt64>) throws {
        let rig = try ObservedRig()
        // Backwards, so that memory is in another order than the image.
        for page in pages.reversed() { try rig.dirty([page], UInt8(page % 251 + 1)) }
        #expect(WriteBatchTests.writeOut(0..<512, of: rig) == nil)
        #expect(runs(rig) == [[pages]])
        for page in pages {
            #expect(rig.image.holds(UInt8(page % 251 + 1), page))
            #expect(!rig.isDirty(page) && !rig.isWriting(page) && rig.isUnsynced(page))
        }
        #expect(rig.pages.dirtyLimit.pages == 0)
        #expect(rig.pages.counters.writes == 1 + (pages.contains(256) ? 1 : 0), "a chunk is counted by itself")
        #expect(rig.pages.counters.pagesWritten == UInt64(pages.count))
        try rig.end()
    }

    /// What is side by side in memory too is one piece.
    @Test func aFlexpageIsOnePiece() throws {
        let rig = try ObservedRig()
        try rig.write(7, count: 64 << 12, at: 64 << 12)
        #expect(WriteBatchTests.writeOut(0..<256, of: rig) == nil)
        #expect(rig.image.calls.map(\.pieces) == [[1]])
        #expect(runs(rig) == [[64..<128]])
        #expect((64..<128 as Range<UInt64>).allSatisfy { rig.image.holds(7, $0) })
        try rig.end()
    }

    /// Only the dirty parts of a flexpage go out, each part as a run, and each from its place in the memory.
    @Test func theDirtyPartOfAFlexpage() throws {
        let rig = try ObservedRig()
        try rig.write(1, count: 64 << 12, at: 0)
        try rig.pager.flush()
        for page in [3, 4, 9, 63] as [UInt64] { try rig.dirty([page], UInt8(page + 10)) }
        #expect(WriteBatchTests.writeOut(0..<64, of: rig) == nil)
        #expect(runs(rig).last == [3..<5, 9..<10, 63..<64])
        for page in [3, 4, 9, 63] as [UInt64] { #expect(rig.image.holds(UInt8(page + 10), page)) }
        #expect(rig.image.holds(1, 5))
        try rig.end()
    }

    /// 32 runs go out together. The 33rd begins a new batch, but pages that adjoin the 32nd still belong to it.
    @Test func thirtyTwoRunsAtOnce() throws {
        let rig = try ObservedRig()
        let odd = (0..<34 as Range<UInt64>).map { $0 * 2 + 1 }
        try rig.dirty(odd)
        try rig.dirty([64])
        #expect(WriteBatchTests.writeOut(0..<72, of: rig) == nil)
        #expect(runs(rig) == [odd.prefix(31).map { $0..<$0 + 1 } + [63..<66], [67..<68]])
        try rig.end()
    }

    /// At most 256 pages go out together.
    @Test func aMiBAtOnce() throws {
        let rig = try ObservedRig()
        try rig.dirty(10..<310)
        #expect(WriteBatchTests.writeOut(0..<512, of: rig) == nil)
        #expect(runs(rig) == [[10..<266], [266..<310]])
        #expect((10..<310 as Range<UInt64>).allSatisfy { rig.image.holds(1, $0) && !rig.isDirty($0) })
        try rig.end()
    }

    /// Pages outside the limits are left alone, even in the same leaf. If there is nothing to do nothing is done.
    @Test func onlyInItsLimits() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<24)
        #expect(WriteBatchTests.writeOut(3..<18, of: rig) == nil)
        #expect(runs(rig) == [[3..<18]])
        #expect(rig.isDirty(2) && rig.isDirty(18))
        #expect(WriteBatchTests.writeOut(3..<18, of: rig) == nil)
        #expect(WriteBatchTests.writeOut(100..<200, of: rig) == nil)
        #expect(runs(rig).count == 1)
        try rig.end()
    }

    /// What fails is dirty again and everything else is out. The error is that of the first run that failed.
    @Test func eachRunHasItsOutcome() throws {
        let rig = try ObservedRig()
        try rig.dirty([0, 1, 20, 21, 40, 60])
        rig.image.fail(21, with: ENOSPC)
        rig.image.fail(40)
        #expect(WriteBatchTests.writeOut(0..<64, of: rig) == AccessError(ENOSPC))
        for page in [21, 40] as [UInt64] { #expect(rig.isDirty(page) && !rig.isUnsynced(page)) }
        for page in [0, 1, 20, 60] as [UInt64] { #expect(!rig.isDirty(page) && rig.isUnsynced(page)) }
        #expect(!(0..<64 as Range<UInt64>).contains { rig.isWriting($0) })
        #expect(rig.pages.dirtyLimit.pages == 2)
        #expect(rig.provider.ledger.failedLeaves == 2)
        #expect(rig.pages.counters.failedWrites == 2 && rig.pages.counters.pagesWritten == 4)
        rig.pages.checkInvariants(isQuiet: true)
        rig.image.heal()
        #expect(WriteBatchTests.writeOut(0..<64, of: rig) == nil)
        #expect(runs(rig).last == [21..<22, 40..<41])
        #expect(rig.provider.ledger.failedLeaves == 0 && rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// The first error is kept while the batch goes on to others, good and bad.
    @Test func theFirstErrorIsKept() throws {
        let rig = try ObservedRig()
        try rig.dirty((0..<96).map { $0 * 2 })
        rig.image.fail(10)
        rig.image.fail(150, with: ENOSPC)
        #expect(WriteBatchTests.writeOut(0..<192, of: rig) == AccessError(EIO))
        #expect(runs(rig).count == 3)
        #expect(rig.pages.dirtyLimit.pages == 2)
        rig.image.heal()
        try rig.end()
    }

    /// A sync that fails while pages are going out may have lost them. They are dirty again, with its error. It does
    /// not affect pages that begin to go out after it.
    @Test func aSyncFailsMeanwhile() throws {
        let rig = try ObservedRig()
        let gate = Gate()
        let error = Guarded<AccessError?>(nil)
        rig.image.hold(0, at: gate)
        try rig.dirty(0..<2)
        Watchdog.guarding("a sync fails meanwhile") {
            let writer = Companion {
                let outcome = WriteBatchTests.writeOut(0..<8, of: rig)
                error.withLock { $0 = outcome }
            }
            Thread.wait { gate.arrivals == 1 }
            rig.provider.durability.risk.countFailure(AccessError(EDQUOT))
            gate.open()
            writer.join()
        }
        #expect(error.withLock { $0 } == AccessError(EDQUOT))
        #expect(rig.isDirty(0) && rig.isDirty(1) && rig.pages.dirtyLimit.pages == 2)
        #expect(rig.provider.ledger.failedLeaves == 0, "the write-out has not failed")
        #expect(WriteBatchTests.writeOut(0..<8, of: rig) == nil)
        #expect(!rig.isDirty(0) && !rig.isDirty(1))
        try rig.end()
    }

    /// If a writer holds a page, the batch first issues what it has begun, and waits for the writer with nothing begun.
    @Test func waitsForAWriterWithNothingBegun() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<4)
        var progress = PageMapper.RequestProgress()
        let loan = try rig.provider.mapper.lendForWriting(10 << 12..<11 << 12, of: nil, &progress)
        let writer = Companion { _ = WriteBatchTests.writeOut(0..<16, of: rig) }
        Watchdog.guarding("waits for a writer with nothing begun") {
            Thread.wait { rig.image.written.count == 4 }
            writer.waitUntilAsleep()
        }
        #expect(!writer.hasEnded)
        #expect(runs(rig) == [[0..<4]])
        #expect(!(0..<16 as Range<UInt64>).contains { rig.isWriting($0) } && rig.isDirty(10))
        _ = consume loan
        Watchdog.guarding("goes on after the writer") { writer.join() }
        #expect(runs(rig) == [[0..<4], [10..<11]])
        try rig.end()
    }

    /// The same if a zero or trim has reserved a page.
    @Test func waitsForAReservationWithNothingBegun() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<4)
        try rig.dirty([10, 12])
        let reservations = rig.provider.mapper.context.reservations
        reservations.reserve(10..<12)
        Watchdog.guarding("waits for a reservation with nothing begun") {
            let writer = Companion { _ = WriteBatchTests.writeOut(0..<16, of: rig) }
            Thread.wait { rig.image.written.count == 4 }
            writer.waitUntilAsleep()
            #expect(!writer.hasEnded)
            #expect(runs(rig) == [[0..<4]])
            #expect(!(0..<16 as Range<UInt64>).contains { rig.isWriting($0) })
            reservations.release(10..<12)
            writer.join()
        }
        #expect(runs(rig) == [[0..<4], [10..<11, 12..<13]])
        try rig.end()
    }

    /// A batch that passes over reserved pages leaves only those alone, says so, and waits for nothing.
    @Test func passesOverWhatIsReserved() throws {
        let rig = try ObservedRig()
        let reservations = rig.provider.mapper.context.reservations
        try rig.dirty(0..<16)
        reservations.reserve(3..<6)
        let keys = [rig.key(ofLeaf: 0), rig.key(ofLeaf: 1)]
        func passOver() -> (hasPassedOver: Bool, error: AccessError?) {
            keys.withUnsafeBufferPointer { rig.provider.mapper.writeOut(leaves: $0, passingOverReserved: true) }
        }
        Watchdog.guarding("passes over what is reserved") {
            #expect(passOver() == (true, nil))
        }
        #expect(runs(rig) == [[0..<3, 6..<16]])
        #expect((0..<16 as Range<UInt64>).filter { rig.isDirty($0) } == [3, 4, 5])
        reservations.release(3..<6)
        #expect(passOver() == (false, nil))
        #expect(runs(rig).last == [3..<6])
        try rig.end()
    }

    /// The bytes on their way out are stable. A writer of them waits until they are out, is woken then, and what it
    /// wrote is dirty.
    @Test func aWriterWaitsForWhatIsGoingOut() throws {
        let rig = try ObservedRig()
        let gate = Gate()
        rig.image.hold(0, at: gate)
        try rig.dirty(0..<1, 1)
        Watchdog.guarding("a writer waits for what is going out") {
            let batch = Companion { _ = WriteBatchTests.writeOut(0..<8, of: rig) }
            Thread.wait { gate.arrivals == 1 }
            #expect(rig.isWriting(0) && !rig.isDirty(0))
            let writer = Companion { _ = try? rig.dirty(0..<1, 2) }
            writer.waitUntilAsleep()
            #expect(!writer.hasEnded)
            gate.open()
            batch.join()
            writer.join()
        }
        #expect(rig.image.holds(1, 0))
        #expect(rig.isDirty(0))
        try rig.pager.flush()
        #expect(rig.image.holds(2, 0))
        try rig.end()
    }

    /// Two batches of the same pages divide them: each page goes out once.
    @Test(arguments: Seeds.of(plain: 10, sanitized: 4)) func eachPageGoesOutOnce(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let rig = try ObservedRig()
        let pages = (0..<512 as Range<UInt64>).filter { _ in !random.once(in: 3) }
        try rig.dirty(pages.shuffled(using: &random))
        let verdict = Verdict()
        Watchdog.guarding("each page goes out once, seed \(seed)") {
            Thread.run(3) { _ in
                verdict.expect(WriteBatchTests.writeOut(0..<512, of: rig) == nil, "nothing fails")
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(rig.image.written.sorted() == pages)
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }
}
