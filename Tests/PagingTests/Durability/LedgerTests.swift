import Glibc
import Testing

@testable import Paging

/// What happens to a leaf, and where in its Ledger that puts it.
@Suite struct LedgerTests {
    /// Once around: dirty, going out, unsynced, durable.
    @Test func onceAround() throws {
        let rig = try LedgerRig()
        #expect(rig.list(1) == .none)
        rig.dirty(1)
        #expect(rig.list(1) == .dirty)
        rig.begin(1)
        #expect(rig.list(1) == .dirty, "a flush that must wait for the leaf finds it")
        rig.end(1)
        #expect(rig.list(1) == .unsynced)
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [1])
        #expect(rig.list(1) == .none)
        rig.dirty(1)
        #expect(rig.list(1) == .dirty)
    }

    /// However many of its pages become dirty, and whenever, a leaf is on the list once, where its first dirty page put
    /// it.
    @Test func dirtiedAgainItStaysWhereItIs() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b1)
        rig.dirty(2)
        _ = rig.ledger.endEpoch()
        rig.dirty(1, 0b10)
        rig.dirty(1, 0b1)
        #expect(rig.dirtyList == [1, 2])
        #expect(rig.ledger.dirtyLeaves == 2)
        rig.ledger.checkInvariants()
    }

    /// An unsynced leaf that becomes dirty moves from the one list to the other.
    @Test func unsyncedAndDirtied() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.writeOut(1)
        rig.dirty(1)
        #expect(rig.dirtyList == [1])
        #expect(rig.ledger.firstUnsynced(beforeSync: rig.ledger.beginSync()) == nil)
        rig.ledger.checkInvariants()
    }

    /// A leaf that is dirtied while it is going out keeps its position meanwhile. Once it is out, it moves to the
    /// position of its newly dirtied pages, between older and newer leaves.
    @Test func dirtiedWhileGoingOut() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b1)
        rig.begin(1)
        let first = rig.ledger.endEpoch()
        rig.dirty(2)
        let second = rig.ledger.endEpoch()
        rig.dirty(1, 0b10)
        let third = rig.ledger.endEpoch()
        rig.dirty(3)
        rig.dirty(4)
        #expect(rig.oldest(upTo: first) == [1])
        rig.end(1)
        #expect(rig.oldest(upTo: first) == [])
        #expect(rig.oldest(upTo: second) == [2])
        #expect(rig.oldest(upTo: third) == [2, 1])
        #expect(rig.dirtyList == [2, 1, 3, 4])
        rig.writeOut(1)
        #expect(rig.list(1) == .unsynced)
    }

    /// The same if all others are newer: it moves to the head.
    @Test func dirtiedWhileGoingOutBeforeAllOthers() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.begin(1)
        _ = rig.ledger.endEpoch()
        rig.dirty(1, 0b10)
        _ = rig.ledger.endEpoch()
        for leaf in 2...4 as ClosedRange<UInt64> { rig.dirty(leaf) }
        rig.end(1)
        #expect(rig.dirtyList == [1, 2, 3, 4])
        rig.ledger.checkInvariants()
    }

    /// The rest of a leaf that is written out in part keeps its position: it was dirty from the beginning.
    @Test func writtenOutInPart() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.dirty(2)
        let epoch = rig.ledger.endEpoch()
        rig.begin(1, 0b1)
        rig.end(1)
        #expect(rig.oldest(upTo: epoch) == [1, 2])
    }

    /// While one page of a leaf is still going out, the leaf is not out, though others are.
    @Test func outOnlyWhenAllOfItIs() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.begin(1)
        rig.end(1, 0b1)
        #expect(rig.list(1) == .dirty)
        rig.end(1, 0b10)
        #expect(rig.list(1) == .unsynced)
    }

    /// A leaf that could not be written out goes to the tail, even behind what is dirtied later. So the epoch that
    /// tried it does not try it twice. It is counted once, however often it fails.
    @Test func aFailedLeafGoesToTheTail() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.dirty(2)
        let epoch = rig.ledger.endEpoch()
        rig.dirty(3)
        rig.tryInVain(1)
        #expect(rig.oldest(upTo: epoch) == [2])
        #expect(rig.dirtyList == [2, 3, 1])
        rig.tryInVain(1)
        #expect(rig.ledger.failedLeaves == 1)
        #expect(rig.ledger.dirtyLeaves == 3)
        rig.writeOut(1)
        #expect(rig.ledger.failedLeaves == 0)
        #expect(rig.list(1) == .unsynced)
        rig.ledger.checkInvariants()
    }

    /// A leaf whose bad pages are left alone goes to the tail as if it had been tried, and still counts as failed.
    @Test func whatIsPutOffGoesToTheTail() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.tryInVain(1)
        rig.dirty(2)
        let epoch = rig.ledger.endEpoch()
        rig.ledger.putOff(rig.id(1))
        #expect(rig.oldest(upTo: epoch) == [2], "the flush does not try it again")
        #expect(rig.oldest(upTo: rig.ledger.endEpoch()) == [2, 1])
        #expect(rig.ledger.failedLeaves == 1 && rig.ledger.error == AccessError(EIO))
        rig.ledger.checkInvariants()
    }

    /// As long as a page that failed is not out the leaf counts as failed, whatever else of it is out.
    @Test func failedUntilAllThatFailedIsOut() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.tryInVain(1)
        rig.dirty(1, 0b100)
        rig.begin(1, 0b101)
        rig.end(1)
        #expect(rig.ledger.failedLeaves == 1, "the second page is not out")
        rig.begin(1, 0b10)
        #expect(rig.ledger.failedLeaves == 1, "being tried again is not being out")
        rig.dirty(1, 0b1000)
        rig.end(1)
        #expect(rig.ledger.failedLeaves == 0, "what is dirty now has not failed")
        #expect(rig.list(1) == .dirty)
    }

    /// One page fails while another of the same leaf goes out successfully: the leaf has failed.
    @Test func oneOfTwoFails() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.begin(1)
        rig.fail(1, 0b1)
        rig.end(1, 0b10)
        #expect(rig.ledger.failedLeaves == 1)
        #expect(rig.leaf(1).pointee.dirty == 0b1)
        rig.writeOut(1)
        #expect(rig.ledger.failedLeaves == 0)
    }

    /// One page fails, and is dropped while the other is still going out: then all is well.
    @Test func droppedWhileTheOtherGoesOut() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.begin(1)
        rig.fail(1, 0b1)
        rig.drop(1, 0b1)
        #expect(rig.list(1) == .dirty)
        rig.end(1)
        #expect(rig.list(1) == .unsynced)
        #expect(rig.ledger.failedLeaves == 0)
        #expect(rig.ledger.error == nil)
    }

    /// What went out while a sync failed is dirty as if it had not gone out. Flushes of its epoch find it, whatever
    /// else has been dirtied meanwhile. It is no failure.
    @Test func syncFailedMeanwhile() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        let epoch = rig.ledger.endEpoch()
        rig.dirty(2)
        rig.begin(1)
        rig.dirty(1, 0b10)
        rig.syncFailsMeanwhile(1)
        #expect(rig.oldest(upTo: epoch) == [1])
        #expect(rig.ledger.failedLeaves == 0)
        rig.begin(1, 0b10)
        rig.end(1)
        #expect(rig.oldest(upTo: epoch) == [1])
        rig.writeOut(1)
        #expect(rig.list(1) == .unsynced)
    }

    /// The same, but another page of the leaf has failed. The leaf is at the tail, too late for a flush that waits for
    /// both. So the failure stands until all of the leaf is out, and this flush reports it.
    @Test func syncFailedMeanwhileWhereAnotherPageHasFailed() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.begin(1)
        let epoch = rig.ledger.endEpoch()
        rig.fail(1, 0b1)
        rig.begin(1, 0b1)
        rig.syncFailsMeanwhile(1, 0b10)
        rig.end(1, 0b1)
        #expect(rig.leaf(1).pointee.dirty == 0b10)
        #expect(rig.oldest(upTo: epoch) == [], "the leaf is too late for the flush")
        #expect(rig.ledger.error == AccessError(EIO), "so the flush must fail")
        rig.writeOut(1)
        #expect(rig.ledger.error == nil)
    }

    /// A leaf with dropped pages is on the list of what is left: of dirty pages, of unsynced ones, or none. Its
    /// failures are forgotten with the last dirty page.
    @Test func dropped() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b111)
        rig.begin(1, 0b1)
        rig.end(1)
        rig.begin(1, 0b10)
        rig.fail(1)
        rig.drop(1, 0b10)
        #expect(rig.list(1) == .dirty)
        rig.drop(1, 0b100)
        #expect(rig.list(1) == .unsynced)
        #expect(rig.ledger.failedLeaves == 0)
        #expect(rig.ledger.error == nil)
        rig.drop(1, 0b1)
        #expect(rig.list(1) == .none)
        rig.drop(1)
        #expect(rig.list(1) == .none)
        rig.ledger.checkInvariants()
    }

    /// A leaf that loses some of its unsynced pages keeps its position for the others, however late that happens.
    @Test func droppedInPartItIsAsOldAsItWas() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b11)
        rig.writeOut(1)
        let sync = rig.ledger.beginSync()
        rig.drop(1, 0b1)
        #expect(rig.markDurable(bySync: sync) == [1])
    }

    /// Any event, in any order, also if the numbers of epochs and syncs wrap around: see LedgerTrial.
    @Test(arguments: Seeds.of(plain: 30, optimised: 60, sanitized: 6)) func anyOrderOfEvents(seed: UInt64) throws {
        var trial = try LedgerTrial(seed: seed)
        for step in 0..<400 {
            let event = trial.doSomething()
            if let finding = trial.finding {
                Issue.record("FLEXPAGE_SEED=\(seed), step \(step), after \(event): \(finding)")
                return
            }
        }
    }
}
