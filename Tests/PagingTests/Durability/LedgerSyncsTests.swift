import Glibc
import Testing

@testable import Paging

/// What a good sync makes durable, and what a failed one loses.
@Suite struct LedgerSyncsTests {
    /// A sync makes durable what was written out before it began, in that order, and nothing that was written out
    /// later: that may not have been in it. Also where the numbers of syncs begin anew.
    @Test(arguments: [0, .max - 1, .max] as [UInt32]) func makesDurableWhatWasOutBefore(syncsBegun: UInt32) throws {
        let rig = try LedgerRig(syncsBegun: syncsBegun)
        for leaf in 1...4 as ClosedRange<UInt64> { rig.dirty(leaf) }
        rig.writeOut(2)
        rig.writeOut(1)
        let first = rig.ledger.beginSync().number
        rig.writeOut(3)
        let second = rig.ledger.beginSync().number
        rig.writeOut(4)
        #expect(second == first &+ 1)
        #expect(rig.ledger.firstUnsynced(beforeSync: first &- 1) == nil)
        #expect(rig.markDurable(bySync: first) == [2, 1])
        #expect(!rig.ledger.markDurable(rig.id(3), bySync: first))
        #expect(rig.list(3) == .unsynced)
        #expect(rig.markDurable(bySync: second) == [3])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync().number) == [4])
    }

    /// A later sync makes durable what earlier ones did not come to.
    @Test func makesDurableAllThatIsOlder() throws {
        let rig = try LedgerRig()
        for leaf in 1...3 as ClosedRange<UInt64> {
            rig.dirty(leaf)
            rig.writeOut(leaf)
            _ = rig.ledger.beginSync()
        }
        #expect(rig.markDurable(bySync: rig.ledger.beginSync().number) == [1, 2, 3])
    }

    /// What has been dirtied while the sync was under way is not durable, and what has gone out again meanwhile is not
    /// made durable by that sync.
    @Test func whatHasBeenDirtiedIsNotDurable() throws {
        // More syncs than epochs, so that an epoch cannot pass for an early sync.
        let rig = try LedgerRig(syncsBegun: 100)
        for leaf in 1...3 as ClosedRange<UInt64> {
            rig.dirty(leaf)
            rig.writeOut(leaf)
        }
        let sync = rig.ledger.beginSync().number
        rig.dirty(1)
        rig.dirty(2)
        rig.writeOut(2)
        #expect(!rig.ledger.markDurable(rig.id(1), bySync: sync))
        #expect(!rig.ledger.markDurable(rig.id(2), bySync: sync))
        #expect(rig.markDurable(bySync: sync) == [3])
        #expect(rig.dirtyList == [1])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync().number) == [2])
    }

    /// After a failed sync what was unsynced is dirty, in the epoch of that moment: the next flush finds it, and it
    /// goes around once more.
    @Test func dirtyAgain() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.writeOut(1)
        let earlier = rig.ledger.endEpoch()
        rig.dirtyAgain(1)
        #expect(rig.list(1) == .dirty)
        #expect(rig.oldest(upTo: earlier) == [])
        #expect(rig.oldest(upTo: rig.ledger.endEpoch()) == [1])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync().number) == [])
        rig.writeOut(1)
        #expect(rig.markDurable(bySync: rig.ledger.beginSync().number) == [1])
        rig.ledger.checkInvariants()
    }

    /// What became dirty again while other pages of the leaf are going out, which were dirtied later, is found by every
    /// flush from then on, before they are out and after.
    @Test func dirtyAgainWhileGoingOut() throws {
        let rig = try LedgerRig()
        rig.dirty(1, 0b1)
        rig.writeOut(1)
        _ = rig.ledger.endEpoch()
        rig.dirty(1, 0b10)
        rig.begin(1)
        rig.dirtyAgain(1)
        let epoch = rig.ledger.endEpoch()
        #expect(rig.leaf(1).pointee.dirty == 0b1)
        #expect(rig.oldest(upTo: epoch) == [1])
        rig.end(1)
        #expect(rig.oldest(upTo: epoch) == [1])
    }

    /// A sync is told what was at risk when it began, so that what comes meanwhile is not taken for made durable by it.
    @Test func atRiskWhenItBegan() throws {
        let rig = try LedgerRig()
        let ledger = rig.ledger
        ledger.countAtRisk()
        let before = ledger.beginSync().atRisk
        #expect(before == ledger.atRisk)
        ledger.countAtRisk()
        #expect(ledger.atRisk != before)
        #expect(ledger.beginSync().atRisk == ledger.atRisk)
    }

    /// A zero or trim is seen while it is being done, of several as long as one is, and then counts as at risk.
    @Test func changes() throws {
        let rig = try LedgerRig()
        let ledger = rig.ledger
        #expect(!ledger.isChanging)
        ledger.beginChange()
        ledger.beginChange()
        let before = ledger.atRisk
        ledger.endChange()
        #expect(ledger.isChanging)
        #expect(ledger.atRisk != before)
        ledger.endChange()
        #expect(!ledger.isChanging)
    }

    /// Whoever asks since when hears whether a sync has failed since, and how the last one did.
    @Test func failuresSince() throws {
        let rig = try LedgerRig()
        let ledger = rig.ledger
        let first = ledger.syncFailureStamp
        #expect(ledger.syncFailure(since: first) == nil)
        ledger.countFailedSync(AccessError(EIO))
        let second = ledger.syncFailureStamp
        #expect(ledger.syncFailure(since: first) == AccessError(EIO))
        #expect(ledger.syncFailure(since: second) == nil)
        ledger.countFailedSync(AccessError(255))
        ledger.countFailedSync(AccessError(EIO))
        #expect(ledger.syncFailure(since: second) == AccessError(EIO), "the same error again is another failure")
        ledger.countFailedSync(AccessError(255))
        #expect(ledger.syncFailure(since: first) == AccessError(255))
        #expect(ledger.syncFailureStamp & 0xFF_FFFF_FFFF_FFFF == 4)
    }

    /// Pages that are out and not durable are counted up and down.
    @Test func countsUnsyncedPages() throws {
        let rig = try LedgerRig()
        let ledger = rig.ledger
        ledger.countUnsynced(5)
        ledger.countUnsynced(-2)
        #expect(ledger.unsyncedPages == 3)
    }
}
