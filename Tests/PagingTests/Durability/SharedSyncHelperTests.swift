import Glibc
import TestSupport
import Testing

@testable import Paging

/// A thread of its own leads the syncs that callers wait for.
@Suite final class SharedSyncHelperTests: Sendable {
    private let syncs = SharedSync()

    deinit { syncs.destroy() }

    /// A caller that finds no sync under way leads it. The sync that others wait for is led by the helper, and so is
    /// the one after that.
    @Test func theHelperLeadsWhatIsWaitedFor() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 3)
        let led = Tally()
        Watchdog.guarding("the helper leads what is waited for") {
            syncs.setHelped(true)
            let helper = Companion {
                syncs.help(patience: 1000) {
                    led.add()
                    return trial.sync()
                }
            }
            helper.waitUntilAsleep()
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            #expect(led.count == 0)
            let second = trial.sharersAsleep(3, syncs)
            #expect(!syncs.wantsHelp)
            trial.gates[0].open()
            Thread.wait { trial.gates[1].arrivals == 1 }
            #expect(led.count == 1)
            let third = trial.sharersAsleep(2, syncs)
            trial.gates[1].open()
            Thread.wait { trial.gates[2].arrivals == 1 }
            #expect(led.count == 2)
            trial.gates[2].open()
            syncs.setHelped(false)
            for thread in [first, helper] + second + third { thread.join() }
        }
        #expect(trial.begun.count == 3)
    }

    /// Help is wanted while callers wait for the next sync, and no longer.
    @Test func helpIsWantedWhileCallersWait() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 2)
        Watchdog.guarding("help is wanted while callers wait") {
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            #expect(!syncs.wantsHelp)
            let sharer = trial.sharersAsleep(1, syncs)[0]
            #expect(syncs.wantsHelp)
            trial.gates[0].open()
            Thread.wait { trial.gates[1].arrivals == 1 }
            #expect(!syncs.wantsHelp)
            trial.gates[1].open()
            for thread in [first, sharer] { thread.join() }
        }
    }

    /// Once it has led, it leads for callers that find no sync under way, too, until 16 syncs in a row had one caller
    /// each. It leads nothing for callers that do their syncs by themselves.
    @Test func isInChargeUntilCallersAreLonely() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 1)
        let led = Tally()
        Watchdog.guarding("the helper is in charge") {
            syncs.setHelped(true)
            let helper = Companion {
                syncs.help(patience: 100_000) {
                    led.add()
                    return trial.sync()
                }
            }
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            let second = trial.sharersAsleep(3, syncs)
            trial.gates[0].open()
            for thread in [first] + second { thread.join() }
            #expect(led.count == 1)
            #expect(trial.share(syncs, byItself: true) == nil)
            #expect(led.count == 1)
            for _ in 0..<20 { #expect(trial.share(syncs) == nil) }
            #expect(led.count == 17 && trial.begun.count == 23)
            syncs.setHelped(false)
            helper.join()
        }
    }

    /// A caller that leads by itself learns whether others share what it does. Here they have been left to a helper
    /// that does not come.
    @Test func leadsForOthers() {
        let syncs = self.syncs
        let trial = HeldSyncs(held: 1)
        func leads() -> Bool? {
            var leads: Bool?
            try? syncs.share(byItself: true) { () -> AccessError? in
                leads = syncs.leadsForOthers
                return nil
            }
            return leads
        }
        Watchdog.guarding("leads for others") {
            syncs.setHelped(true)
            let first = Companion { _ = trial.share(syncs) }
            Thread.wait { trial.gates[0].arrivals == 1 }
            let second = trial.sharersAsleep(1, syncs)[0]
            trial.gates[0].open()
            first.join()
            #expect(leads() == true)
            second.join()
            #expect(leads() == false)
            syncs.setHelped(false)
        }
        #expect(trial.begun.count == 1)
    }

    /// It ends when there was nothing to lead for a while. Then callers lead by themselves.
    @Test func endsWithoutWork() {
        let syncs = self.syncs
        Watchdog.guarding("the helper ends without work") {
            syncs.setHelped(true)
            syncs.help(patience: 5) { AccessError(EIO) }
            #expect(!syncs.isHelped)
            #expect(HeldSyncs(held: 0).share(syncs) == nil)
        }
    }

    /// The same as without a helper, while one comes and goes.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 3)) func callersBesideAHelper(seed: UInt64) {
        let syncs = self.syncs
        let trial = SyncTrial(seed: seed)
        let rounds = Sanitizer.isThread ? 100 : 200
        let isOver = Tally()
        Watchdog.guarding("callers beside a helper, seed \(seed)") {
            let helper = Companion {
                var random = SplitMix64(seed: seed, stream: 0)
                while isOver.count == 0 {
                    syncs.setHelped(true)
                    let patience = Int(random.pick(0...2))
                    let other = Companion { syncs.help(patience: patience) { trial.sync() } }
                    usleep(UInt32(random.pick(0...2000)))
                    syncs.setHelped(false)
                    other.join()
                }
            }
            Thread.run(8) { number in
                for _ in 0..<rounds { trial.call(syncs) }
            }
            isOver.add()
            helper.join()
        }
        trial.verdict.report("FLEXPAGE_SEED=\(seed)")
        #expect(trial.syncCount < 8 * rounds)
    }
}
