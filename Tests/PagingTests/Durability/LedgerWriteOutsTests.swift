import Glibc
import Testing

@testable import Paging

/// Which leaves of an image a write-out takes, and what is reported of it.
@Suite struct LedgerWriteOutsTests {
    /// Leaves come in the order in which they were dirtied, and those of later epochs do not come.
    @Test func theOrderIsThatOfDirtying() throws {
        let rig = try LedgerRig()
        for leaf in [5, 3, 9] as [UInt64] { rig.dirty(leaf) }
        let first = rig.ledger.endEpoch()
        rig.dirty(1)
        let second = rig.ledger.endEpoch()
        rig.dirty(2)
        #expect(second == first + 1)
        #expect(rig.oldest(upTo: first) == [5, 3, 9])
        #expect(rig.oldest(upTo: second) == [5, 3, 9, 1])
        #expect(rig.oldest(upTo: first - 1) == [])
    }

    /// No more come than fit: the oldest.
    @Test(arguments: 0...4) func asManyAsFit(maxCount: Int) throws {
        let rig = try LedgerRig()
        for leaf in 1...3 as ClosedRange<UInt64> { rig.dirty(leaf) }
        #expect(rig.oldest(upTo: rig.ledger.endEpoch(), maxCount: maxCount) == Array([1, 2, 3].prefix(maxCount)))
    }

    /// The order holds if the numbers of epochs wrap around.
    @Test func epochsBeginAnew() throws {
        let rig = try LedgerRig(epoch: .max - 1)
        var epochs: [UInt32] = []
        for leaf in 1...4 as ClosedRange<UInt64> {
            rig.dirty(leaf)
            epochs.append(rig.ledger.endEpoch())
        }
        #expect(epochs == [.max - 1, .max, 0, 1])
        for (index, epoch) in epochs.enumerated() {
            #expect(rig.oldest(upTo: epoch) == Array([1, 2, 3, 4].prefix(index + 1)))
        }
        // A leaf that is dirtied while it is going out finds its new position across the wrap as well.
        rig.begin(1)
        rig.dirty(1, 0b10)
        rig.dirty(5)
        rig.end(1)
        #expect(rig.dirtyList == [2, 3, 4, 1, 5] || rig.dirtyList == [2, 3, 4, 5, 1])
    }

    /// "Later" holds across the wrap as well, up to half of all numbers away.
    @Test func laterOverTheSeam() {
        #expect(Ledger.isLater(2, than: 1) && !Ledger.isLater(1, than: 2) && !Ledger.isLater(1, than: 1))
        #expect(Ledger.isLater(0, than: .max) && !Ledger.isLater(.max, than: 0))
        #expect(Ledger.isLater(.max / 2, than: 0) && !Ledger.isLater(0, than: .max / 2))
    }

    /// A write-out that leaves out what has failed gets everything else.
    @Test func withoutWhatHasFailed() throws {
        let rig = try LedgerRig()
        for leaf in 1...4 as ClosedRange<UInt64> { rig.dirty(leaf) }
        rig.tryInVain(2)
        let epoch = rig.ledger.endEpoch()
        #expect(rig.oldest(upTo: epoch) == [1, 3, 4, 2])
        #expect(rig.oldest(upTo: epoch, includingFailed: false) == [1, 3, 4])
        #expect(rig.oldest(upTo: epoch, includingFailed: false, maxCount: 2) == [1, 3])
    }

    /// The error is that of the last failure, as long as any leaf has failed.
    @Test func theErrorStandsWhileThereIsOne() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.dirty(2)
        #expect(rig.ledger.error == nil)
        rig.tryInVain(1, with: EIO)
        #expect(rig.ledger.error == AccessError(EIO))
        rig.tryInVain(2, with: ENOSPC)
        #expect(rig.ledger.error == AccessError(ENOSPC))
        rig.writeOut(2)
        #expect(rig.ledger.error != nil)
        rig.writeOut(1)
        #expect(rig.ledger.error == nil)
    }

    /// A trouble is reported once, and its end once, with the number of failures. So is the next.
    @Test func newsAreToldOnce() throws {
        let rig = try LedgerRig()
        for round in 1...2 as ClosedRange<UInt64> {
            rig.dirty(1)
            rig.dirty(2)
            #expect(rig.ledger.news(dirtyPages: 2) == nil)
            rig.tryInVain(1, with: ENOSPC)
            #expect(rig.ledger.news(dirtyPages: 2) == .writeOutFails(AccessError(ENOSPC), dirtyPages: 2))
            for _ in 0..<round { rig.tryInVain(2) }
            #expect(rig.ledger.news(dirtyPages: 2) == nil)
            rig.writeOut(1)
            #expect(rig.ledger.news(dirtyPages: 1) == nil, "one leaf is not out")
            rig.writeOut(2)
            #expect(rig.ledger.news(dirtyPages: 0) == .writeOutWorksAgain(failures: round + 1))
            #expect(rig.ledger.news(dirtyPages: 0) == nil)
        }
    }

    /// A trouble that has ended before anybody asked is no news, and does not count towards the next one.
    @Test func whatIsOverIsNoNews() throws {
        let rig = try LedgerRig()
        rig.dirty(1)
        rig.tryInVain(1)
        rig.writeOut(1)
        #expect(rig.ledger.news(dirtyPages: 0) == nil)
        rig.dirty(1)
        rig.tryInVain(1)
        #expect(rig.ledger.news(dirtyPages: 1) == .writeOutFails(AccessError(EIO), dirtyPages: 1))
        rig.writeOut(1)
        #expect(rig.ledger.news(dirtyPages: 0) == .writeOutWorksAgain(failures: 1))
    }

    /// Pages that cannot be written are the reason why there is no room only if they can fill the limit. The rest has
    /// been admitted to writers, which have not dirtied it yet.
    @Test func noRoomBecauseOfFailures() throws {
        let rig = try LedgerRig()
        let dirtyLimit = rig.ledger.dirtyLimit
        dirtyLimit.prepare()
        #expect(dirtyLimit.admit(1) == 1)
        rig.dirty(1)
        rig.tryInVain(1)
        _ = dirtyLimit.allow(10)
        #expect(dirtyLimit.admit(10) == 9)
        #expect(rig.ledger.stuck != nil && rig.ledger.noRoomBecause == nil)
        _ = dirtyLimit.allow(8)
        #expect(rig.ledger.noRoomBecause == AccessError(EIO))
        dirtyLimit.release(3)
        #expect(rig.ledger.noRoomBecause == nil, "there is room")
        _ = dirtyLimit.allow(.max)
        let rest = dirtyLimit.admit(dirtyLimit.limit)
        #expect(dirtyLimit.pages == dirtyLimit.limit && dirtyLimit.stuck != nil && dirtyLimit.noRoomBecause == nil)
        dirtyLimit.setLimit(8)
        #expect(dirtyLimit.noRoomBecause == AccessError(EIO))
        dirtyLimit.release(rest + 6)
        rig.drop(1)
        dirtyLimit.release(1)
    }

    /// An image is stuck if all its dirty pages have failed.
    @Test func stuckWhenAllHasFailed() throws {
        let rig = try LedgerRig()
        #expect(rig.ledger.stuck == nil)
        rig.dirty(1)
        rig.dirty(2)
        rig.tryInVain(1)
        #expect(rig.ledger.stuck == nil)
        rig.tryInVain(2)
        #expect(rig.ledger.stuck == AccessError(EIO))
        rig.dirty(3)
        #expect(rig.ledger.stuck == nil)
        rig.writeOut(3)
        #expect(rig.ledger.stuck == AccessError(EIO))
        rig.drop(1)
        rig.drop(2)
        #expect(rig.ledger.stuck == nil)
    }
}
