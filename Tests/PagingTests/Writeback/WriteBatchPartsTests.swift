import Glibc
import TestSupport
import Testing

@testable import Paging

/// A run that cannot be written is tried in parts. What can be written is out, and what cannot is known page by page.
@Suite struct WriteBatchPartsTests {
    /// Writes out what is dirty of `pages`, leaf by leaf, as the WritebackQueue does.
    @discardableResult
    private static func writeOut(
        _ pages: Range<UInt64>, of rig: ObservedRig, _ effort: WriteBatch.Effort = .again
    ) -> AccessError? {
        let keys = (pages.lowerBound / 8..<(pages.upperBound + 7) / 8).map { rig.key(ofLeaf: $0) }
        return keys.withUnsafeBufferPointer { rig.provider.mapper.writeOut(leaves: $0, effort).error }
    }

    private func fail(_ pages: some Sequence<UInt64>, of rig: ObservedRig) {
        for page in pages { rig.image.fail(page) }
    }
    private func dirty(of pages: Range<UInt64>, _ rig: ObservedRig) -> [UInt64] { pages.filter { rig.isDirty($0) } }
    private func runs(_ rig: ObservedRig) -> [Range<UInt64>] { rig.image.calls.flatMap(\.runs) }

    /// One bad page anywhere in a run of any length. All others are out after one call, each written successfully once,
    /// and the page is known to be bad.
    @Test(.oneThread, arguments: [1, 2, 3, 7, 8, 100, 255, 256] as [UInt64], [0.0, 0.3, 0.5, 1.0])
    func oneBadPageHoldsOffNobody(count: UInt64, place: Double) throws {
        let rig = try ObservedRig()
        let pages = 250..<250 + count
        let bad = 250 + UInt64(Double(count - 1) * place)
        // Flexpages of one page, and of many, so that pieces are cut everywhere.
        try rig.dirty(250..<min(250 + count, 270), 3)
        if count > 20 { try rig.write(3, count: Int(count - 20) << 12, at: 270 << 12) }
        rig.image.fail(bad, with: ENOSPC)
        #expect(WriteBatchPartsTests.writeOut(0..<512, of: rig, .withoutHaste) == AccessError(ENOSPC))
        #expect(dirty(of: 0..<512, rig) == [bad])
        #expect(rig.image.written.sorted() == pages.filter { $0 != bad })
        #expect(pages.allSatisfy { $0 == bad || rig.image.holds(3, $0) && rig.isUnsynced($0) })
        #expect(runs(rig).count <= 1 + 2 * 8)
        #expect(rig.provider.ledger.failedLeaves == 1 && rig.pages.dirtyLimit.pages == 1)
        rig.pages.checkInvariants(isQuiet: true)
        rig.image.heal()
        #expect(WriteBatchPartsTests.writeOut(0..<512, of: rig) == nil)
        #expect(rig.image.holds(3, bad) && rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// Good and bad pages in any mixture without long stretches of bad ones: one call, and all good ones are out.
    @Test(.oneThread, arguments: 1...12 as ClosedRange<UInt64>) func anyMixture(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let rig = try ObservedRig()
        let pages = (0..<500 as Range<UInt64>).filter { _ in !random.once(in: 9) }
        let bad = pages.filter { _ in random.once(in: 3) }
        try rig.dirty(pages, 5)
        fail(bad, of: rig)
        #expect(WriteBatchPartsTests.writeOut(0..<512, of: rig, .withoutHaste) == AccessError(EIO))
        #expect(dirty(of: 0..<512, rig) == bad)
        #expect(pages.allSatisfy { rig.image.holds(5, $0) != bad.contains($0) })
        rig.pages.checkInvariants(isQuiet: true)
        rig.image.heal()
        #expect(WriteBatchPartsTests.writeOut(0..<512, of: rig) == nil)
        try rig.end()
    }

    /// A disk on which nothing can be written is asked a few times a call. Yet each call learns something, so a single
    /// good page among 255 bad ones gets out.
    @Test func aHopelessRunIsGivenUpForNow() throws {
        let rig = try ObservedRig()
        let good: UInt64 = 201
        try rig.dirty(0..<256, 5)
        fail((0..<256).filter { $0 != good }, of: rig)
        #expect(WriteBatchPartsTests.writeOut(0..<256, of: rig, .due) == AccessError(EIO))
        #expect(runs(rig).count == 17, "a run, and eight times two halves")
        #expect(dirty(of: 0..<256, rig).count == 256)
        var calls = 1
        while rig.isDirty(good), calls < 256 {
            WriteBatchPartsTests.writeOut(0..<256, of: rig, .due)
            calls += 1
        }
        #expect(!rig.isDirty(good), "\(calls) calls")
        #expect(dirty(of: 0..<256, rig).count == 255)
        rig.pages.checkInvariants(isQuiet: true)
        rig.image.heal()
        try rig.end()
    }

    /// A page that is known to be bad goes alone from then on, and its neighbours are joined on either side of it.
    @Test func aBadPageGoesAlone() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<24)
        fail([10], of: rig)
        WriteBatchPartsTests.writeOut(0..<24, of: rig)
        try rig.dirty(0..<24, 2)
        let before = runs(rig).count
        #expect(WriteBatchPartsTests.writeOut(0..<24, of: rig) == AccessError(EIO))
        #expect(runs(rig)[before...] == [0..<10, 10..<11, 11..<24])
        #expect(dirty(of: 0..<24, rig) == [10])
        // Once it has been written it is like any other.
        rig.image.heal()
        WriteBatchPartsTests.writeOut(0..<24, of: rig)
        try rig.dirty(0..<24, 3)
        #expect(WriteBatchPartsTests.writeOut(0..<24, of: rig) == nil)
        #expect(runs(rig).last == 0..<24)
        try rig.end()
    }

    /// A write-out that looks after the whole image leaves a bad page alone until it is due. It writes its neighbours
    /// out, even those of its leaf. A flush tries the page at once.
    @Test func aBadPageIsLeftAloneUntilItIsDue() throws {
        let rig = try ObservedRig()
        try rig.dirty([10])
        fail([10], of: rig)
        // After six failures it waits for half a minute, longer than this test takes.
        for _ in 0..<6 { WriteBatchPartsTests.writeOut(8..<16, of: rig) }
        try rig.dirty([9, 11])
        #expect(WriteBatchPartsTests.writeOut(8..<16, of: rig, .due) == nil)
        #expect(runs(rig).suffix(2) == [9..<10, 11..<12])
        #expect(dirty(of: 8..<16, rig) == [10])
        #expect(rig.provider.ledger.error == AccessError(EIO), "the page still has not been written")
        #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
        #expect(runs(rig).last == 10..<11)
        rig.image.heal()
        try rig.pager.flush()
        #expect(rig.image.holds(1, 10))
        try rig.end()
    }

    /// So does what is dirtied beside a bad page of the same leaf while a client's flush that was left waits for that
    /// page.
    @Test func aFlushThatWasLeftDoesNotTryWhatIsNotDue() throws {
        let rig = try ObservedRig()
        try rig.dirty([10])
        fail([10], of: rig)
        for _ in 0..<6 { #expect(throws: AccessError(EIO)) { try rig.pager.flush() } }
        rig.provider.leaveFlush()
        let before = runs(rig).count
        try rig.dirty([9])
        #expect(rig.provider.durability.flushForThoseWhoLeft() == 0)
        #expect(runs(rig)[before...] == [9..<10])
        rig.image.heal()
        try rig.pager.flush()
        #expect(rig.provider.durability.flushForThoseWhoLeft() == 1)
        try rig.end()
    }

    /// Of very many bad pages a flush tries some, and fails. When the cause is gone it writes them all.
    @Test func aFlushDoesNotTryEveryBadPageInVain() throws {
        let rig = try ObservedRig()
        let bad = (0..<256 as Range<UInt64>).map { $0 * 2 }
        try rig.dirty(bad)
        fail(bad, of: rig)
        Watchdog.guarding("a flush does not try every bad page in vain") {
            #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
            let before = runs(rig).count
            #expect(before == 256, "each page was a run of its own")
            #expect(throws: AccessError(EIO)) { try rig.pager.flush() }
            #expect((8...128).contains(runs(rig).count - before), "\(runs(rig).count - before) tries")
            rig.image.heal()
            #expect(throws: Never.self) { try rig.pager.flush() }
        }
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// The very last flush tries every page. Only what really cannot be written is lost, whatever is known of it.
    @Test(.oneThread, arguments: [false, true]) func theLastFlushFindsWhatCanBeWritten(isKnown: Bool) throws {
        let rig = try ObservedRig()
        let good: [UInt64] = [77, 200, 255, 400]
        try rig.dirty(0..<500, 5)
        fail(0..<500, of: rig)
        // So that bad pages are known, some of which could be written by now.
        if isKnown { for _ in 0..<200 { WriteBatchPartsTests.writeOut(0..<500, of: rig, .due) } }
        for page in good { rig.image.heal(page) }
        Watchdog.guarding("the last flush finds what can be written") {
            _ = #expect(throws: AccessError(EIO)) { try rig.provider.flushAtLast() }
        }
        #expect(good.allSatisfy { rig.image.holds(5, $0) })
        #expect(rig.pages.counters.dirtyPages == 496)
        #expect(rig.image.syncs > 0)
        rig.image.heal()
        try rig.provider.flushAtLast()
        try rig.end()
    }

    /// A sync fails while a page known to be bad goes out, successfully this time. The page is dirty again, and not bad
    /// any more.
    @Test func aSyncFailsMeanwhile() throws {
        let rig = try ObservedRig()
        let gate = Gate()
        try rig.dirty(0..<8)
        fail([0], of: rig)
        WriteBatchPartsTests.writeOut(0..<8, of: rig)
        rig.image.heal()
        rig.image.hold(0, at: gate)
        Watchdog.guarding("a sync fails meanwhile") {
            let writer = Companion { _ = WriteBatchPartsTests.writeOut(0..<8, of: rig) }
            Thread.wait { gate.arrivals == 1 }
            rig.provider.durability.risk.countFailure(AccessError(EDQUOT))
            gate.open()
            writer.join()
        }
        #expect(dirty(of: 0..<8, rig) == [0])
        rig.pages.checkInvariants(isQuiet: true)
        try rig.dirty([1])
        #expect(WriteBatchPartsTests.writeOut(0..<8, of: rig) == nil)
        #expect(runs(rig).last == 0..<2)
        try rig.end()
    }
}

extension WriteBatch.Effort {
    /// Everything is tried, however long it takes: a sanitizer, or a busy machine, needs more than a second for it.
    fileprivate static var withoutHaste: Self { .last(until: .max) }
}
