import Glibc
import TestSupport
import Testing

@testable import Paging

/// No more becomes dirty than the limit says. A thread that waits for room gets it, or an error that says why not.
@Suite struct DirtyLimitTests {
    private let pages: Pages
    private var dirtyLimit: DirtyLimit { pages.dirtyLimit }

    init() throws { pages = try Pages(memory: Pages.minMemory) }

    /// An image that shares the Memory gets half, whatever else there is room for. Another gets the other half, and
    /// passes the first one's waiters.
    @Test func halfForAnImage() throws {
        let pages = try Pages(memory: Pages.minMemory, isShared: true)
        let (first, second) = (pages.dirtyLimit.ofImage(0), pages.dirtyLimit.ofImage(1))
        first.prepare()
        second.prepare()
        let (limit, half) = (first.limit, first.maxOfImage)
        #expect(half == limit / 2)
        #expect(first.admit(limit) == half && first.admit(1) == 0)
        #expect(first.isAboveTarget)
        #expect(second.admit(half - 1) == half - 1)
        #expect(pages.dirtyLimit.pages == 2 * half - 1)
        Watchdog.guarding("half for an image") {
            let stuck = Companion { _ = try? first.waitToAdmit(1, turn: 0) { nil } }
            Thread.wait { first.waits == 1 }
            #expect((try? second.waitToAdmit(3, turn: second.turn) { nil }) == 1, "it passes the one that waits")
            second.release(half)
            stuck.waitUntilAsleep()
            #expect(!stuck.hasEnded && first.pagesOfImage == half)
            first.release(half)
            stuck.join()
        }
        #expect(first.pagesOfImage == 1 && second.pagesOfImage == 0 && pages.dirtyLimit.pages == 1)
        first.release(1)
    }

    /// A slow disk lowers the limit of its own image only.
    @Test func oneSlowDisk() throws {
        let (first, second) = (dirtyLimit.ofImage(0), dirtyLimit.ofImage(1))
        first.prepare()
        second.prepare()
        #expect(!first.allow(2))
        #expect(first.admit(5) == 2 && first.admit(1) == 0)
        #expect(second.admit(5) == 5)
        #expect(dirtyLimit.allowedOfAll == dirtyLimit.limit)
        second.forget()
        #expect(dirtyLimit.allowedOfAll == 2)
        #expect(first.allow(.max) && first.allowed == first.limit)
    }

    /// Exactly the limit is admitted: a part of what exceeds it, and nothing of what comes then.
    @Test func admitsUpToTheLimit() {
        #expect(dirtyLimit.limit > 4)
        #expect(dirtyLimit.admit(dirtyLimit.limit - 3) == dirtyLimit.limit - 3)
        #expect(dirtyLimit.admit(4) == 3)
        #expect(dirtyLimit.admit(1) == 0)
        #expect(dirtyLimit.pages == dirtyLimit.limit)
        dirtyLimit.release(2)
        #expect(dirtyLimit.pages == dirtyLimit.limit - 2)
        #expect(dirtyLimit.admit(2) == 2)
    }

    /// A writer that wants more than the limit gets the limit, and does not wait for ever.
    @Test func moreThanTheLimitIsAdmittedInParts() throws {
        #expect(dirtyLimit.admit(dirtyLimit.limit + 5) == dirtyLimit.limit)
        #expect(dirtyLimit.admit(1) == 0)
        dirtyLimit.release(dirtyLimit.limit)
        #expect(try dirtyLimit.waitToAdmit(dirtyLimit.limit + 5, turn: 0) { AccessError(EIO) } == dirtyLimit.limit)
        #expect(dirtyLimit.pages == dirtyLimit.limit)
    }

    /// Pages that become dirty again count, whatever the limit says.
    @Test func dirtyAgainPassesTheLimit() {
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
        dirtyLimit.add(3)
        #expect(dirtyLimit.pages == dirtyLimit.limit + 3)
        dirtyLimit.release(3)
        #expect(dirtyLimit.admit(1) == 0)
    }

    /// Write-back begins above half the limit.
    @Test func theTargetIsHalf() {
        #expect(dirtyLimit.backgroundTarget == dirtyLimit.limit / 2)
        #expect(dirtyLimit.admit(dirtyLimit.backgroundTarget) == dirtyLimit.backgroundTarget)
        #expect(!dirtyLimit.isAboveTarget)
        #expect(dirtyLimit.admit(1) == 1)
        #expect(dirtyLimit.isAboveTarget)
    }

    /// However small the share of a small memory, one page may be dirty.
    @Test func aLimitOfNothingIsOne() throws {
        let pages = try Pages(memory: Pages.minMemory)
        let dirtyLimit = DirtyLimit(limit: 0, pages.memory.metadata)
        defer { dirtyLimit.destroy() }
        #expect(dirtyLimit.limit == 1)
        #expect(dirtyLimit.admit(2) == 1)
        #expect(dirtyLimit.admit(1) == 0)
    }

    /// A waiter is admitted when there is room, in part if there is not room for all of it, and not before.
    @Test func waitsForRoom() {
        let dirtyLimit = self.dirtyLimit
        let room = Tally()
        let verdict = Verdict()
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
        Watchdog.guarding("waits for room") {
            let waiter = Companion {
                let admitted = try? dirtyLimit.waitToAdmit(2, turn: 0) { nil }
                verdict.expect(admitted == 1 && room.count == 1, "\(admitted as Any) with room for \(room.count)")
            }
            Thread.wait { dirtyLimit.waits == 1 }
            waiter.waitUntilAsleep()
            #expect(!waiter.hasEnded)
            room.add()
            dirtyLimit.release(1)
            waiter.join()
        }
        verdict.report("the waiter")
        #expect(dirtyLimit.pages == dirtyLimit.limit)
    }

    /// While somebody waits nobody is admitted before it, though there is room: the waiter gets it.
    @Test func nobodyPassesWhoWaits() {
        let dirtyLimit = self.dirtyLimit
        let verdict = Verdict()
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
        Watchdog.guarding("nobody passes a waiter") {
            let waiter = Companion {
                let admitted = try? dirtyLimit.waitToAdmit(2, turn: 0) { nil }
                verdict.expect(admitted == 2, "\(admitted as Any)")
            }
            Thread.wait { dirtyLimit.waits == 1 }
            dirtyLimit.wroteOut(2)
            #expect(dirtyLimit.admit(1) == 0)
            dirtyLimit.wakeWaiters()
            waiter.join()
        }
        verdict.report("the waiter")
        #expect(dirtyLimit.admit(1) == 0)
        dirtyLimit.release(1)
        #expect(dirtyLimit.admit(1) == 1)
    }

    /// A waiter that gives up gets the reason, and has nothing admitted.
    @Test func givesUp() {
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
        #expect(throws: AccessError(ENOSPC)) { try dirtyLimit.waitToAdmit(3, turn: 0) { AccessError(ENOSPC) } }
        #expect(dirtyLimit.pages == dirtyLimit.limit)
        dirtyLimit.release(dirtyLimit.limit)
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
    }

    /// After a failure all waiters look again, and give up if there is a reason, though there is no more room than
    /// before. They ask for the reason with no lock of the limit held, so the callback may use the limit.
    @Test func allWhoWaitLookAgain() {
        let dirtyLimit = self.dirtyLimit
        let (asked, hopeless) = (Tally(), Tally())
        let verdict = Verdict()
        #expect(dirtyLimit.admit(dirtyLimit.limit) == dirtyLimit.limit)
        Watchdog.guarding("all waiters look again") {
            let waiters = (0..<3).map { _ in
                Companion {
                    let outcome = Result { () throws(AccessError) in
                        try dirtyLimit.waitToAdmit(1, turn: 0) { () -> AccessError? in
                            asked.add()
                            dirtyLimit.wakeWaiters()
                            return hopeless.count > 0 ? AccessError(EIO) : nil
                        }
                    }
                    verdict.expect(outcome == .failure(AccessError(EIO)), "\(outcome)")
                }
            }
            Thread.wait { asked.count >= 3 }
            hopeless.add()
            dirtyLimit.countDirtyLeaves(2)
            dirtyLimit.countFailedLeaves(1, AccessError(EIO))
            dirtyLimit.wakeWaiters()
            for waiter in waiters { waiter.join() }
        }
        verdict.report("the waiters")
        #expect(dirtyLimit.pages == dirtyLimit.limit)
        dirtyLimit.wakeWaiters()
    }

    /// All that is dirty has failed, of whatever image: then it is stuck. As long as anything else is dirty it is not.
    @Test func stuckWhenAllHasFailed() {
        #expect(dirtyLimit.stuck == nil)
        dirtyLimit.countDirtyLeaves(2)
        #expect(dirtyLimit.stuck == nil)
        dirtyLimit.countFailedLeaves(1, AccessError(EIO))
        #expect(dirtyLimit.stuck == nil)
        dirtyLimit.countFailedLeaves(1, AccessError(ENOSPC))
        #expect(dirtyLimit.stuck == AccessError(ENOSPC))
        dirtyLimit.countDirtyLeaves(1)
        #expect(dirtyLimit.stuck == nil)
        dirtyLimit.countDirtyLeaves(-1)
        #expect(dirtyLimit.stuck == AccessError(ENOSPC))
        dirtyLimit.countFailedLeaves(-2, nil)
        #expect(dirtyLimit.stuck == nil)
    }

    /// Two images, one stuck and the other not: together they are not stuck.
    @Test func anotherImageIsNotStuck() throws {
        let rig = try LedgerRig()
        let other = rig.pages.accessMap(ofImage: 1).ledger
        other.prepare()
        let leaf = rig.pages.leaves.take(key: 1 << 48, home: LeafID(raw: 1))
        rig.pages.leaves[leaf].pointee.dirty = 1
        other.dirtied(leaf, wasClean: true)
        rig.dirty(1)
        rig.tryInVain(1)
        #expect(rig.ledger.stuck != nil && other.stuck == nil)
        #expect(rig.pages.dirtyLimit.stuck == nil)
        rig.pages.leaves[leaf].pointee.dirty = 0
        other.pagesDropped(leaf)
        #expect(rig.pages.dirtyLimit.stuck == AccessError(EIO))
    }

    /// Threads want any number of pages, wait for them and give them back. Together they never have more than the
    /// limit, and none waits for ever.
    @Test(arguments: Seeds.of(plain: 4, sanitized: 2)) func neverMoreThanTheLimit(seed: UInt64) {
        let dirtyLimit = self.dirtyLimit
        let held = Guarded(0)
        let verdict = Verdict()
        let rounds = Sanitizer.isThread ? 400 : 3000
        Watchdog.guarding("never more than the limit, seed \(seed)") {
            Thread.run(6) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for _ in 0..<rounds {
                    let wanted = random.once(in: 2) ? random.pick(1...4) : random.pick(1...dirtyLimit.limit)
                    var admission = Admission(dirtyLimit.admit(wanted), of: dirtyLimit)
                    if admission.count == 0 {
                        guard
                            let late = try? dirtyLimit.waitToAdmit(
                                wanted, turn: dirtyLimit.turn, reasonToGiveUp: { nil })
                        else {
                            return verdict.blame("somebody gave up")
                        }
                        admission = Admission(late, of: dirtyLimit)
                    }
                    let count = admission.count
                    verdict.expect((1...wanted).contains(count), "\(count) of \(wanted)")
                    let together = held.withLock { held in
                        held += count
                        return held
                    }
                    verdict.expect(together <= dirtyLimit.limit, "\(together) of \(dirtyLimit.limit)")
                    sched_yield()
                    held.withLock { $0 -= count }
                    admission.giveBack()
                }
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(dirtyLimit.pages == 0)
    }
}
