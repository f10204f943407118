import Glibc
import Testing

@testable import Paging

/// No more becomes dirty than the limit says, and who waits for room gets it, or hears why not.
@Suite struct DirtGaugeTests {
    private let pages: Pages
    private var gauge: DirtGauge { pages.dirt }

    init() throws { pages = try Pages(memory: Pages.leastMemory) }

    /// Just the limit is admitted: of what is more a part, of what comes then nothing.
    @Test func admitsUpToTheLimit() {
        #expect(gauge.limit > 4)
        #expect(gauge.admit(gauge.limit - 3) == gauge.limit - 3)
        #expect(gauge.admit(4) == 3)
        #expect(gauge.admit(1) == 0)
        #expect(gauge.pages == gauge.limit)
        gauge.release(2)
        #expect(gauge.pages == gauge.limit - 2)
        #expect(gauge.admit(2) == 2)
    }

    /// Who wants more than the limit gets the limit, and does not wait for ever.
    @Test func moreThanTheLimitIsAdmittedInParts() throws {
        #expect(gauge.admit(gauge.limit + 5) == gauge.limit)
        #expect(gauge.admit(1) == 0)
        gauge.release(gauge.limit)
        #expect(try gauge.waitToAdmit(gauge.limit + 5, turn: 0) { AccessError(EIO) } == gauge.limit)
        #expect(gauge.pages == gauge.limit)
    }

    /// What is dirty again counts whatever the limit says.
    @Test func dirtyAgainPassesTheLimit() {
        #expect(gauge.admit(gauge.limit) == gauge.limit)
        gauge.add(3)
        #expect(gauge.pages == gauge.limit + 3)
        gauge.release(3)
        #expect(gauge.admit(1) == 0)
    }

    /// Write-back begins above half the limit.
    @Test func theTargetIsHalf() {
        #expect(gauge.backgroundTarget == gauge.limit / 2)
        #expect(gauge.admit(gauge.backgroundTarget) == gauge.backgroundTarget)
        #expect(!gauge.isAboveTarget)
        #expect(gauge.admit(1) == 1)
        #expect(gauge.isAboveTarget)
    }

    /// However small the share of a small memory, one page may be dirty.
    @Test func aLimitOfNothingIsOne() throws {
        let pages = try Pages(memory: Pages.leastMemory)
        let gauge = DirtGauge(limit: 0, pages.memory.metadata)
        defer { gauge.destroy() }
        #expect(gauge.limit == 1)
        #expect(gauge.admit(2) == 1)
        #expect(gauge.admit(1) == 0)
    }

    /// Who waits is admitted when there is room, in part where there is not room for all of it, and not before.
    @Test func waitsForRoom() {
        let gauge = self.gauge
        let room = Tally()
        let verdict = Verdict()
        #expect(gauge.admit(gauge.limit) == gauge.limit)
        Watchdog.guarding("waits for room") {
            let waiter = Companion {
                let admitted = try? gauge.waitToAdmit(2, turn: 0) { nil }
                verdict.expect(admitted == 1 && room.count == 1, "\(admitted as Any) with room for \(room.count)")
            }
            Thread.wait { gauge.waits == 1 }
            waiter.waitUntilAsleep()
            #expect(!waiter.hasEnded)
            room.add()
            gauge.release(1)
            waiter.join()
        }
        verdict.report("one who waits")
        #expect(gauge.pages == gauge.limit)
    }

    /// While somebody waits nobody is admitted past it, though there is room: it goes to who has waited.
    @Test func nobodyPassesWhoWaits() {
        let gauge = self.gauge
        let verdict = Verdict()
        #expect(gauge.admit(gauge.limit) == gauge.limit)
        Watchdog.guarding("nobody passes who waits") {
            let waiter = Companion {
                let admitted = try? gauge.waitToAdmit(2, turn: 0) { nil }
                verdict.expect(admitted == 2, "\(admitted as Any)")
            }
            Thread.wait { gauge.waits == 1 }
            gauge.wroteOut(2)
            #expect(gauge.admit(1) == 0)
            gauge.wakeWaiters()
            waiter.join()
        }
        verdict.report("one who waits")
        #expect(gauge.admit(1) == 0)
        gauge.release(1)
        #expect(gauge.admit(1) == 1)
    }

    /// Who gives up hears why, and has nothing admitted.
    @Test func givesUp() {
        #expect(gauge.admit(gauge.limit) == gauge.limit)
        #expect(throws: AccessError(ENOSPC)) { try gauge.waitToAdmit(3, turn: 0) { AccessError(ENOSPC) } }
        #expect(gauge.pages == gauge.limit)
        gauge.release(gauge.limit)
        #expect(gauge.admit(gauge.limit) == gauge.limit)
    }

    /// Where something has failed all who wait look again, and give up when they are told so, though there is no more
    /// room than before. Why they do they find out with no lock of the gauge's held: to use it then stops nobody.
    @Test func allWhoWaitLookAgain() {
        let gauge = self.gauge
        let (asked, hopeless) = (Tally(), Tally())
        let verdict = Verdict()
        #expect(gauge.admit(gauge.limit) == gauge.limit)
        Watchdog.guarding("all who wait look again") {
            let waiters = (0..<3).map { _ in
                Companion {
                    let outcome = Result { () throws(AccessError) in
                        try gauge.waitToAdmit(1, turn: 0) { () -> AccessError? in
                            asked.add()
                            gauge.wakeWaiters()
                            return hopeless.count > 0 ? AccessError(EIO) : nil
                        }
                    }
                    verdict.expect(outcome == .failure(AccessError(EIO)), "\(outcome)")
                }
            }
            Thread.wait { asked.count >= 3 }
            hopeless.add()
            gauge.countDirtyLeaves(2)
            gauge.countFailedLeaves(1, AccessError(EIO))
            gauge.wakeWaiters()
            for waiter in waiters { waiter.join() }
        }
        verdict.report("those who wait")
        #expect(gauge.pages == gauge.limit)
        gauge.wakeWaiters()
    }

    /// All that is dirty has failed, whose it ever is: that is stuck, and as long as anything else is dirty it is not.
    @Test func stuckWhenAllHasFailed() {
        #expect(gauge.stuck == nil)
        gauge.countDirtyLeaves(2)
        #expect(gauge.stuck == nil)
        gauge.countFailedLeaves(1, AccessError(EIO))
        #expect(gauge.stuck == nil)
        gauge.countFailedLeaves(1, AccessError(ENOSPC))
        #expect(gauge.stuck == AccessError(ENOSPC))
        gauge.countDirtyLeaves(1)
        #expect(gauge.stuck == nil)
        gauge.countDirtyLeaves(-1)
        #expect(gauge.stuck == AccessError(ENOSPC))
        gauge.countFailedLeaves(-2, nil)
        #expect(gauge.stuck == nil)
    }

    /// Two images, the one stuck and the other not: together they are not.
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
        #expect(rig.pages.dirt.stuck == nil)
        rig.pages.leaves[leaf].pointee.dirty = 0
        other.dropped(leaf)
        #expect(rig.pages.dirt.stuck == AccessError(EIO))
    }

    /// Threads that want pages of any number, wait for them and give them back: never are more admitted together than
    /// the limit, and nobody waits for ever.
    @Test(arguments: Seeds.of(plain: 4, sanitized: 2)) func neverMoreThanTheLimit(seed: UInt64) {
        let gauge = self.gauge
        let held = Guarded(0)
        let verdict = Verdict()
        let rounds = Sanitizer.isThread ? 400 : 3000
        Watchdog.guarding("never more than the limit, seed \(seed)") {
            Thread.run(6) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for _ in 0..<rounds {
                    let wanted = random.once(in: 2) ? random.pick(1...4) : random.pick(1...gauge.limit)
                    var admission = Admission(gauge.admit(wanted), of: gauge)
                    if admission.count == 0 {
                        guard let late = try? gauge.waitToAdmit(wanted, turn: gauge.turn, giveUp: { nil }) else {
                            return verdict.blame("somebody gave up")
                        }
                        admission = Admission(late, of: gauge)
                    }
                    let count = admission.count
                    verdict.expect((1...wanted).contains(count), "\(count) of \(wanted)")
                    let together = held.withLock { held in
                        held += count
                        return held
                    }
                    verdict.expect(together <= gauge.limit, "\(together) of \(gauge.limit)")
                    sched_yield()
                    held.withLock { $0 -= count }
                    admission.giveBack()
                }
            }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(gauge.pages == 0)
    }
}
