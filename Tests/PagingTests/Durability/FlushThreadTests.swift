import Glibc
import Testing

@testable import Paging

/// A thread of an image leads its flushes while callers wait for them, and no longer.
@Suite final class FlushThreadTests: Sendable {
    private let flushes = SharedSync()
    private let trial = FlushTrial()

    deinit { flushes.destroy() }

    /// Callers that come one after the other have no thread.
    @Test func callersOneByOneHaveNone() {
        let thread = FlushThread(flushes)
        for _ in 0..<3 { #expect(trial.flush(flushes, thread) == nil) }
        #expect(!flushes.isHelped && trial.led.count == 0 && trial.syncs.begun.count == 3)
        thread.end()
    }

    /// Callers that wait have the next flush led by the thread.
    @Test func callersThatWaitHaveOne() {
        let (flushes, trial) = (self.flushes, self.trial)
        Watchdog.guarding("callers that wait have a flush thread") {
            let thread = FlushThread(flushes)
            trial.letThreadLead(flushes, thread)
            #expect(flushes.isHelped && trial.led.count == 1 && trial.syncs.begun.count == 2)
            thread.end()
            #expect(!flushes.isHelped)
        }
    }

    /// Its end waits for the flush under way. Callers that wait for the next one lead it by themselves.
    @Test func endsWithCallersWaiting() {
        let (flushes, trial) = (self.flushes, FlushTrial(held: 3))
        Watchdog.guarding("a flush thread ends with callers waiting") {
            let thread = FlushThread(flushes)
            let (first, second) = trial.callersBehindOne(2, flushes, thread)
            trial.syncs.gates[0].open()
            Thread.wait { trial.syncs.gates[1].arrivals == 1 }
            let third = trial.callersAsleep(3, flushes, thread)
            let end = Companion { thread.end() }
            end.waitUntilAsleep()
            #expect(!end.hasEnded && trial.led.count == 1)
            trial.syncs.gates[1].open()
            end.join()
            Thread.wait { trial.syncs.gates[2].arrivals == 1 }
            #expect(trial.led.count == 1)
            trial.syncs.gates[2].open()
            for caller in [first] + second + third { caller.join() }
            thread.end()
        }
        #expect(trial.syncs.begun.count == 3)
    }

    /// It ends by itself when there is nothing to lead, and the next callers that wait have one again.
    @Test func endsByItselfAndStartsAgain() {
        let (flushes, trial) = (self.flushes, self.trial)
        Watchdog.guarding("a flush thread ends by itself") {
            let thread = FlushThread(flushes, patience: 1)
            for round in 1...3 {
                trial.letThreadLead(flushes, thread)
                #expect(trial.led.count == round)
                Thread.wait { !flushes.isHelped }
            }
            thread.end()
        }
    }

    /// An image that has been closed, and whose thread has ended, may be used again.
    @Test func startsAgainAfterItsEnd() {
        let (flushes, trial) = (self.flushes, self.trial)
        Watchdog.guarding("a flush thread starts again") {
            let thread = FlushThread(flushes)
            thread.end()
            trial.letThreadLead(flushes, thread)
            thread.end()
            thread.end()
            #expect(trial.flush(flushes, thread) == nil && trial.led.count == 1)
            trial.letThreadLead(flushes, thread)
            #expect(trial.led.count == 2)
            thread.end()
        }
    }

    /// A flush that fails while the thread leads it fails those that wait for it, and nobody else.
    @Test func aFailureIsItsCallers() {
        let (flushes, trial) = (self.flushes, FlushTrial(held: 2, errors: [nil, EIO]))
        Watchdog.guarding("a flush thread's flush fails") {
            let thread = FlushThread(flushes)
            let (first, second) = trial.callersBehindOne(3, flushes, thread)
            trial.syncs.gates[0].open()
            // The first one may also get the error of a later flush. So it has ended before there is one.
            first.join()
            #expect(trial.answers == [nil])
            trial.syncs.gates[1].open()
            for caller in second { caller.join() }
            #expect(trial.answers == [nil] + [AccessError](repeating: AccessError(EIO), count: 3))
            #expect(trial.flush(flushes, thread) == nil)
            thread.end()
        }
        #expect(trial.led.count >= 1 && flushes.failureCount == 1)
    }

    /// Callers come and go while the thread starts, ends by itself and is ended. Every caller's answer is that of a
    /// sync after its call.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 3)) func beginsAndEndsAtAnyTime(seed: UInt64) {
        let flushes = self.flushes
        let trial = SyncTrial(seed: seed)
        let thread = FlushThread(flushes, patience: Int(seed % 3))
        let isOver = Tally()
        Watchdog.guarding("a flush thread begins and ends, seed \(seed)") {
            let ender = Companion {
                while isOver.count == 0 {
                    usleep(700)
                    thread.end()
                }
            }
            Thread.run(6) { _ in
                for _ in 0..<(Sanitizer.isThread ? 100 : 300) {
                    trial.call(flushes) {
                        if flushes.wantsHelp { thread.start { trial.sync() } }
                    }
                }
            }
            isOver.add()
            ender.join()
            thread.end()
        }
        trial.verdict.report("FLEXPAGE_SEED=\(seed)")
    }

    /// If the system has no thread to give, callers lead as before. All of it runs in a process of its own, because no
    /// other thread can start meanwhile.
    @Test func callersLeadIfNoThreadStarts() async {
        await #expect(processExitsWith: .success) {
            let (flushes, trial) = (SharedSync(), FlushTrial(held: 1))
            let thread = FlushThread(flushes)
            let (first, second) = trial.callersBehindOne(3, flushes, thread)
            FlushTrial.refuseThreads()
            trial.syncs.gates[0].open()
            for caller in [first] + second { caller.join() }
            let isAsBefore = trial.led.count == 0 && trial.syncs.begun.count == 2 && !flushes.isHelped
            exit(isAsBefore && trial.answers == [nil, nil, nil, nil] ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }

    // MARK: Of an image

    /// A sync that fails while the thread leads its flush is that of all its callers. What it had to make durable is
    /// dirty again, and the next flush brings it out (invariant 6).
    @Test func aFailedSyncOfAnImage() throws {
        let gates = [Gate(), Gate()]
        let syncs = Tally()
        let image = HookedImage(size: 1 << 20) { call, _ in
            guard call == .sync else { return nil }
            let number = syncs.add() - 1
            if number < gates.count { gates[number].pass() }
            return number == 1 ? AccessError(EIO) : nil
        }
        let rig = try HookedRig(image: image)
        let failures = Tally()
        let flush: @Sendable () -> Void = {
            do throws(AccessError) { try rig.provider.flush() } catch { failures.add() }
        }
        try Watchdog.guarding("a sync fails while a thread leads") { () throws in
            try rig.write(1, count: 4096, at: 0)
            let first = Companion(flush)
            Thread.wait { gates[0].arrivals == 1 }
            try rig.write(2, count: 4096, at: 64 * 4096)
            let second = (0..<3).map { _ in Companion(flush) }
            for caller in second { caller.waitUntilAsleep() }
            gates[0].open()
            first.join()
            #expect(failures.count == 0)
            Thread.wait { gates[1].arrivals == 1 }
            gates[1].open()
            for caller in second { caller.join() }
        }
        #expect(failures.count == 3 && rig.provider.lost == nil && rig.pages.dirtyLimit.pages == 1)
        try rig.provider.flush()
        #expect(rig.pages.dirtyLimit.pages == 0 && image.byte(ofPage: 64) == 2)
        try rig.end()
    }

    /// An image without users has no thread.
    @Test func aClosedImageHasNone() throws {
        let gate = Gate()
        let rig = try HookedRig(
            image: HookedImage(size: 1 << 20) { call, _ in
                if call == .sync { gate.pass() }
                return nil
            })
        Watchdog.guarding("an image is closed after a thread has led") {
            let first = Companion { try? rig.provider.flush() }
            Thread.wait { gate.arrivals == 1 }
            let second = (0..<2).map { _ in Companion { try? rig.provider.flush() } }
            for caller in second { caller.waitUntilAsleep() }
            gate.open()
            for caller in [first] + second { caller.join() }
        }
        let durability = rig.provider.durability
        #expect(durability.flushes.isHelped)
        try rig.end()
        #expect(!durability.flushes.isHelped)
    }
}
