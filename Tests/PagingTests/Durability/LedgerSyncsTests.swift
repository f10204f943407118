import Glibc
import Testing

@testable import Paging

/// What a good sync makes durable, and what is dirty again after a failed one.
@Suite struct LedgerSyncsTests {
    /// A sync makes durable what was written out before it began, in that order. It does not cover anything that was
    /// written out later. This also holds if the numbers of syncs wrap around.
    @Test(arguments: [0, .max - 1, .max] as [UInt32]) func makesDurableWhatWasOutBefore(syncsBegun: UInt32) throws {
        let rig = try LedgerRig(syncsBegun: syncsBegun)
        for leaf in 1...4 as ClosedRange<UInt64> { rig.dirty(leaf) }
        rig.writeOut(2)
        rig.writeOut(1)
        let first = rig.ledger.beginSync()
        rig.writeOut(3)
        let second = rig.ledger.beginSync()
        rig.writeOut(4)
        #expect(second == first &+ 1)
        #expect(rig.ledger.firstUnsynced(beforeSync: first &- 1) == nil)
        #expect(rig.markDurable(bySync: first) == [2, 1])
        #expect(!rig.ledger.markDurable(rig.id(3), bySync: first))
        #expect(rig.list(3) == .unsynced)
        #expect(rig.markDurable(bySync: second) == [3])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [4])
    }

    /// A later sync makes durable what earlier ones did not cover.
    @Test func makesDurableAllThatIsOlder() throws {
        let rig = try LedgerRig()
        for leaf in 1...3 as ClosedRange<UInt64> {
            rig.dirty(leaf)
            rig.writeOut(leaf)
            _ = rig.ledger.beginSync()
        }
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [1, 2, 3])
    }

    /// What was dirtied while the sync was under way is not durable. Nor does that sync make durable what has gone out
    /// again meanwhile.
    @Test func whatHasBeenDirtiedIsNotDurable() throws {
        // More syncs than epochs, so that an epoch cannot be mistaken for an early sync.
        let rig = try LedgerRig(syncsBegun: 100)
        for leaf in 1...3 as ClosedRange<UInt64> {
            rig.dirty(leaf)
            rig.writeOut(leaf)
        }
        let sync = rig.ledger.beginSync()
        rig.dirty(1)
        rig.dirty(2)
        rig.writeOut(2)
        #expect(!rig.ledger.markDurable(rig.id(1), bySync: sync))
        #expect(!rig.ledger.markDurable(rig.id(2), bySync: sync))
        #expect(rig.markDurable(bySync: sync) == [3])
        #expect(rig.dirtyList == [1])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [2])
    }

    /// After a failed sync unsynced pages are dirty, in the epoch of that moment. The next flush finds them, and they
    /// go around once more.
    @Test func dirtyAgain() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.writeOut(1)
        let earlier = rig.ledger.endEpoch()
        rig.dirtyAgain(1)
        #expect(rig.list(1) == .dirty)
        #expect(rig.oldest(upTo: earlier) == [])
        #expect(rig.oldest(upTo: rig.ledger.endEpoch()) == [1])
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [])
        rig.writeOut(1)
        #expect(rig.markDurable(bySync: rig.ledger.beginSync()) == [1])
        rig.ledger.checkInvariants()
    }

    /// Pages become dirty again while others of the leaf, which were dirtied later, are going out. Every flush from
    /// then on finds them, before those are out and after.
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
}
