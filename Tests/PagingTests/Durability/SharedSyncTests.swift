import Glibc
import TestSupport
import Testing

@testable import Paging

/// A caller that wants a sync while one is under way shares the next one with all others.
@Suite final class SharedSyncTests: Sendable {
    private let syncs = SharedSync()

    deinit { syncs.destroy() }

    /// A caller that comes alone has a sync of its own each time, and its error.
    @Test func aloneEachHasItsOwn() throws {
        var count = 0
        func share(_ error: AccessError?) throws(AccessError) {
            try syncs.share { () -> AccessError? in
                count += 1
                return error
            }
        }
        try share(nil)
        #expect(throws: AccessError(EIO)) { try share(AccessError(EIO)) }
        try share(nil)
        #expect(count == 3)
        #expect(syncs.failureCount == 1)
    }

    /// All that come while a sync is under way share the one that begins after it has ended. None of them returns
    /// before that one has ended.
    @Test func sharersShareTheNext() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 2)
        Watchdog.guarding("sharers share the next") {
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            let sharers = trial.sharersAsleep(5, syncs)
            #expect(trial.begun.count == 1)
            trial.gates[0].open()
            first.join()
            Thread.wait { trial.gates[1].arrivals == 1 }
            #expect(!sharers.contains { $0.hasEnded })
            trial.gates[1].open()
            for sharer in sharers { sharer.join() }
        }
        #expect(trial.begun.count == 2)
    }

    /// Nobody waits for more than two syncs. A caller returns when its sync has ended, though the next one is under way
    /// already and does not end.
    @Test func nobodyWaitsForMoreThanTwo() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 3)
        Watchdog.guarding("nobody waits for more than two") {
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            let second = trial.sharersAsleep(3, syncs)
            trial.gates[0].open()
            Thread.wait { trial.gates[1].arrivals == 1 }
            let third = trial.sharersAsleep(1, syncs)[0]
            trial.gates[1].open()
            Thread.wait { trial.gates[2].arrivals == 1 }
            first.join()
            for sharer in second { sharer.join() }
            #expect(!third.hasEnded)
            trial.gates[2].open()
            third.join()
        }
    }

    /// The end of a sync wakes all that wanted it, and one that leads the next: nobody sleeps until it looks again by
    /// itself, which is a second later. A waiter that nobody woke would make every round take longer than that.
    @Test func theEndWakesItsWaiters() {
        let syncs = self.syncs
        Watchdog.guarding("the end wakes its waiters") {
            let isPrompt = (0..<10).contains { _ in SharedSyncTests.milliseconds { threeShareTwo(syncs) } < 1000 }
            #expect(isPrompt)
        }
    }

    /// Two threads share the sync after one that is under way: one is woken to lead it, the other by its end.
    private func threeShareTwo(_ syncs: SharedSync) {
        let trial = HeldSyncs(held: 1)
        let first = Companion { _ = trial.share(syncs) }
        Thread.wait { trial.gates[0].arrivals == 1 }
        let sharers = trial.sharersAsleep(2, syncs)
        trial.gates[0].open()
        for thread in [first] + sharers { thread.join() }
    }

    private static func milliseconds(_ body: () -> Void) -> Int {
        let begin = Patience.now
        body()
        return Patience.now - begin
    }

    /// All that share a failing sync get the error, and those of the sync before do not.
    @Test func aFailureReachesAllSharers() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 2, errors: [nil, ENOSPC])
        let errors = Guarded<[AccessError?]>([])
        Watchdog.guarding("a failure reaches all sharers") {
            let first = Companion {
                // It may also get the error of a later sync. So it has ended before there is one.
                let error = trial.share(syncs)
                errors.withLock { $0.append(error) }
            }
            Thread.wait { trial.gates[0].arrivals == 1 }
            let sharers = (0..<4).map { _ in
                let sharer = Companion {
                    let error = trial.share(syncs)
                    errors.withLock { $0.append(error) }
                }
                sharer.waitUntilAsleep()
                return sharer
            }
            trial.gates[0].open()
            first.join()
            trial.gates[1].open()
            for sharer in sharers { sharer.join() }
        }
        let heard = errors.withLock { $0 }
        #expect(heard[0] == nil)
        #expect(heard.dropFirst().allSatisfy { $0 == AccessError(ENOSPC) })
        #expect(syncs.failureCount == 1)
    }

    /// A sync that has failed since a caller began counts for it though its own succeeds. One that had failed before
    /// does not.
    @Test func failuresSince() throws {
        let before = syncs.failureCount
        #expect(throws: AccessError(EIO)) { try syncs.share { AccessError(EIO) } }
        let after = syncs.failureCount
        #expect(throws: AccessError(EIO)) { try syncs.share(since: before) { nil } }
        try syncs.share(since: after) { nil }
        try syncs.share { nil }
    }

    /// Callers come at any time, and some syncs fail. One thread at a time does a sync. Each caller's answer is that of
    /// a sync that began after it came and ended before it left. There are fewer syncs than callers.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 3)) func callersAtAnyTime(seed: UInt64) {
        let syncs = self.syncs
        let trial = SyncTrial(seed: seed)
        let rounds = Sanitizer.isThread ? 100 : 200
        Watchdog.guarding("callers at any time, seed \(seed)") {
            Thread.run(8) { number in
                for _ in 0..<rounds { trial.call(syncs) }
            }
        }
        trial.verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(trial.syncCount < 8 * rounds)
    }
}
