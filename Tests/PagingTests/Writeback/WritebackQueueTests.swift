import Glibc
import TestSupport
import Testing

@testable import Paging

/// Write-outs of many leaves. They go out in the order of their offsets, by as many threads as come to help, and their
/// leader waits for all.
@Suite struct WritebackQueueTests {
    /// Leads a write-out of the leaves with these numbers.
    private static func writeOut(_ leaves: [UInt64], of rig: ObservedRig) -> (leaves: Int, error: AccessError?) {
        rig.pages.writebackQueue.writeOut(rig.provider) { gather(leaves, of: rig, into: $0) }
    }

    private static func gather(
        _ leaves: [UInt64], of rig: ObservedRig, into keys: UnsafeMutableBufferPointer<UInt64>
    ) -> Int {
        let count = min(keys.count, leaves.count)
        for index in 0..<count { keys[index] = rig.key(ofLeaf: leaves[index]) }
        return count
    }

    /// Helps with write-outs until it is sent home.
    private static func help(_ rig: ObservedRig) { while help(rig.pages.writebackQueue) {} }

    /// Helps once.
    /// - Returns: False if the crew has to end.
    private static func help(_ queue: WritebackQueue) -> Bool {
        switch queue.help() {
        case .end: return false
        case .helped: return true
        case .lookAfter: preconditionFailure("nothing is posted here")
        }
    }

    /// Leaves that are not side by side, with one page dirty in each.
    private func scattered(_ count: UInt64) -> [UInt64] { (0..<count).map { $0 * 2 } }
    private static func page(_ leaf: UInt64) -> UInt64 { leaf * 8 + 3 }
    private func dirty(_ leaves: [UInt64], _ rig: ObservedRig) throws {
        try rig.dirty(leaves.map(WritebackQueueTests.page))
    }

    /// A write-out of nothing makes no call to the image and has no error.
    @Test func nothing() throws {
        let rig = try ObservedRig()
        let (leaves, error) = WritebackQueueTests.writeOut([], of: rig)
        #expect(leaves == 0 && error == nil)
        #expect(rig.image.calls.isEmpty)
        try rig.end()
    }

    /// Any number of leaves in any order, gathered once if they are few, twice if they turn out to be many. Each is
    /// written once, in the order of the image.
    @Test(arguments: [1, 2, 31, 32, 33, 64, 65, 200], 1...4 as ClosedRange<UInt64>)
    func inTheOrderOfTheImage(count: UInt64, seed: UInt64) throws {
        var random = SplitMix64(seed: seed, stream: count)
        let rig = try ObservedRig()
        let leaves = Array((0..<400 as Range<UInt64>).shuffled(using: &random).prefix(Int(count)))
        try dirty(leaves, rig)
        var gathered = 0
        let (done, error) = rig.pages.writebackQueue.writeOut(rig.provider) { keys in
            gathered += 1
            return WritebackQueueTests.gather(leaves, of: rig, into: keys)
        }
        #expect(done == Int(count) && error == nil)
        #expect(gathered == (count < 32 ? 1 : 2))
        #expect(rig.image.written == leaves.map(WritebackQueueTests.page).sorted())
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// Neighbours among few leaves, in whatever order they come, are one write.
    @Test func neighboursAmongFew() throws {
        let rig = try ObservedRig()
        try rig.dirty(8..<32)
        _ = WritebackQueueTests.writeOut([3, 1, 2], of: rig)
        #expect(rig.image.calls.map(\.runs) == [[8..<32]])
        try rig.end()
    }

    /// More leaves than there is room for are done in parts: the leader learns how many there were, and comes again.
    @Test func inParts() throws {
        let rig = try ObservedRig(memory: Pages.minMemory)
        let capacity = WritebackQueue.capacity(frames: rig.frames)
        let limit = rig.pages.dirtyLimit.limit
        try #require(capacity < limit, "there can be more leaves than fit")
        let some = scattered(UInt64(limit))
        try dirty(some, rig)
        var asked = 0
        let (done, _) = rig.pages.writebackQueue.writeOut(rig.provider) { keys in
            asked = keys.count
            return WritebackQueueTests.gather(some, of: rig, into: keys)
        }
        #expect(asked == capacity)
        #expect(done == capacity)
        #expect(rig.pages.dirtyLimit.pages == limit - capacity)
        var left = Array(some.dropFirst(done))
        while !left.isEmpty {
            let (again, _) = WritebackQueueTests.writeOut(left, of: rig)
            #expect(again == min(left.count, capacity))
            left.removeFirst(again)
        }
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// A write-out of many leaves wakes helpers. They do all the rest of it while the leader, or another helper, is
    /// held up. Then all parts are done.
    @Test func helpersDoTheRest() throws {
        let rig = try ObservedRig()
        let leaves = scattered(100)
        let gate = Gate()
        let outcome = Guarded<(leaves: Int, error: AccessError?)>((0, nil))
        rig.image.hold(WritebackQueueTests.page(leaves[0]), at: gate)
        try dirty(leaves, rig)
        Watchdog.guarding("helpers do the rest") {
            let helper = Companion { WritebackQueueTests.help(rig) }
            helper.waitUntilAsleep()
            let leader = Companion {
                let result = WritebackQueueTests.writeOut(leaves.reversed(), of: rig)
                outcome.withLock { $0 = result }
            }
            // On a busy machine, the held part may be the last to begin.
            Thread.wait { rig.image.written.count == 68 && gate.arrivals == 1 }
            #expect(!leader.hasEnded)
            gate.open()
            leader.join()
            rig.pages.writebackQueue.stop()
            helper.join()
        }
        #expect(outcome.withLock { $0.leaves } == 100)
        #expect(rig.image.written.sorted() == leaves.map(WritebackQueueTests.page))
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// The leader does not return before its helpers have done their parts, and gets their errors.
    @Test func theLeaderWaitsForItsHelpers() throws {
        let rig = try ObservedRig()
        let leaves = scattered(64)
        let gates = [Gate(), Gate()]
        let outcome = Guarded<(leaves: Int, error: AccessError?)>((0, nil))
        try dirty(leaves, rig)
        rig.image.hold(WritebackQueueTests.page(leaves[0]), at: gates[0])
        rig.image.hold(WritebackQueueTests.page(leaves[32]), at: gates[1])
        rig.image.fail(WritebackQueueTests.page(leaves[63]), with: ENOSPC)
        Watchdog.guarding("the leader waits for its helpers") {
            let leader = Companion {
                let result = WritebackQueueTests.writeOut(leaves, of: rig)
                outcome.withLock { $0 = result }
            }
            Thread.wait { gates[0].arrivals == 1 }
            let helper = Companion { WritebackQueueTests.help(rig) }
            Thread.wait { gates[1].arrivals == 1 }
            gates[0].open()
            Thread.wait { rig.image.written.count == 32 }
            leader.waitUntilAsleep()
            #expect(!leader.hasEnded)
            gates[1].open()
            leader.join()
            rig.pages.writebackQueue.stop()
            helper.join()
        }
        #expect(outcome.withLock { $0.leaves } == 64)
        #expect(outcome.withLock { $0.error } == AccessError(ENOSPC))
        rig.image.heal()
        try rig.end()
    }

    /// One thread takes 32 leaves at a time, or up to 64 if they are side by side: a run is not torn between two
    /// threads.
    @Test(
        arguments: zip(
            [[0..<100], [0..<40, 50..<90], [0..<20, 30..<90]] as [[Range<UInt64>]], [64, 50, 74] as [UInt64]))
    func neighboursAreClaimedTogether(runs: [Range<UInt64>], second: UInt64) throws {
        let rig = try ObservedRig()
        let gate = Gate()
        for leaf in runs.joined() { try rig.write(1, count: 8 << 12, at: Int64(leaf) << 15) }
        rig.image.hold(0, at: gate)
        Watchdog.guarding("neighbours are claimed together, \(runs)") {
            let leader = Companion { _ = WritebackQueueTests.writeOut(Array(runs.joined()), of: rig) }
            Thread.wait { gate.arrivals == 1 }
            let helper = Companion { WritebackQueueTests.help(rig) }
            Thread.wait { rig.image.calls.count > 1 }
            #expect(rig.image.calls[1].runs[0].lowerBound == second * 8)
            gate.open()
            leader.join()
            rig.pages.writebackQueue.stop()
            helper.join()
        }
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// One failure does not stop the rest, and of several errors the first is reported: among few leaves, and among
    /// many.
    @Test(arguments: [20, 64, 100] as [UInt64], [[EIO, ENOSPC], [ENOSPC, EIO]])
    func theFirstErrorIsTold(count: UInt64, errors: [Int32]) throws {
        let rig = try ObservedRig()
        let leaves = scattered(count)
        try dirty(leaves, rig)
        rig.image.fail(WritebackQueueTests.page(leaves[1]), with: errors[0])
        rig.image.fail(WritebackQueueTests.page(leaves.last!), with: errors[1])
        let (done, error) = WritebackQueueTests.writeOut(leaves, of: rig)
        #expect(done == Int(count) && error == AccessError(errors[0]))
        #expect(rig.image.written.count == Int(count) - 2)
        #expect(rig.pages.dirtyLimit.pages == 2)
        #expect(WritebackQueueTests.writeOut(leaves, of: rig).error == AccessError(errors[0]))
        rig.image.heal()
        #expect(
            WritebackQueueTests.writeOut(leaves, of: rig).error == nil, "an error belongs to one write-out alone")
        try rig.end()
    }

    /// A write-out waits for those of its leaves that others are writing out, whether it has anything to write or not.
    @Test(arguments: [1, 40] as [UInt64]) func waitsForWhatOthersWrite(count: UInt64) throws {
        let rig = try ObservedRig()
        let leaves = scattered(count)
        let gate = Gate()
        try dirty(leaves, rig)
        rig.image.hold(WritebackQueueTests.page(0), at: gate)
        Watchdog.guarding("waits for what others write, \(count)") {
            let other = Companion { _ = try? rig.provider.mapper.writeOut(0..<8) }
            Thread.wait { gate.arrivals == 1 }
            let leader = Companion { _ = WritebackQueueTests.writeOut(leaves, of: rig) }
            Thread.wait { rig.image.written.count == Int(count) - 1 }
            leader.waitUntilAsleep()
            #expect(!leader.hasEnded)
            gate.open()
            leader.join()
            other.join()
        }
        #expect(rig.image.written.count == Int(count))
        try rig.end()
    }

    /// A write-out that passes over reserved pages writes all the rest and waits for nothing.
    @Test(arguments: [20, 40] as [UInt64]) func passesOverWhatIsReserved(count: UInt64) throws {
        let rig = try ObservedRig()
        let leaves = scattered(count)
        let reservations = rig.provider.mapper.context.reservations
        try dirty(leaves, rig)
        reservations.reserve(0..<8)
        Watchdog.guarding("passes over what is reserved, \(count)") {
            let (done, error) = rig.pages.writebackQueue.writeOut(rig.provider, passingOverReserved: true) {
                WritebackQueueTests.gather(leaves, of: rig, into: $0)
            }
            #expect(done == Int(count) && error == nil)
        }
        #expect(rig.image.written == leaves.dropFirst().map(WritebackQueueTests.page))
        #expect(rig.pages.dirtyLimit.pages == 1)
        reservations.release(0..<8)
        try rig.end()
    }

    /// Any other write-out waits for reserved pages; of many leaves, after it has written all the rest. It gets their
    /// errors too.
    @Test(arguments: [1, 40] as [UInt64]) func waitsForWhatIsReserved(count: UInt64) throws {
        let rig = try ObservedRig()
        let leaves = scattered(count)
        let reservations = rig.provider.mapper.context.reservations
        let outcome = Guarded<AccessError?>(nil)
        try dirty(leaves, rig)
        rig.image.fail(WritebackQueueTests.page(0), with: ENOSPC)
        reservations.reserve(0..<8)
        Watchdog.guarding("waits for what is reserved, \(count)") {
            let leader = Companion {
                let error = WritebackQueueTests.writeOut(leaves, of: rig).error
                outcome.withLock { $0 = error }
            }
            Thread.wait { rig.image.written.count == Int(count) - 1 }
            leader.waitUntilAsleep()
            #expect(!leader.hasEnded)
            reservations.release(0..<8)
            leader.join()
        }
        #expect(outcome.withLock { $0 } == AccessError(ENOSPC))
        rig.image.heal()
        try rig.end()
    }

    /// If every slot has a write-out under way, the next one waits for a slot and is done then. A write-out of few
    /// leaves needs no slot.
    @Test func waitsForASlot() throws {
        let rig = try ObservedRig(memory: 8 << 20)
        let gate = Gate()
        let gathered = Tally()
        let count = WritebackQueue.slotCount + 1
        let sets = (0..<UInt64(count)).map { set in (0..<33).map { $0 + set * 40 } }
        for leaves in sets {
            try dirty(leaves, rig)
            rig.image.hold(WritebackQueueTests.page(leaves[0]), at: gate)
        }
        try dirty([399], rig)
        Watchdog.guarding("waits for a slot") {
            let leaders = sets.prefix(WritebackQueue.slotCount).map { leaves in
                Companion { _ = WritebackQueueTests.writeOut(leaves, of: rig) }
            }
            Thread.wait { gate.arrivals == WritebackQueue.slotCount }
            let last = Companion {
                _ = rig.pages.writebackQueue.writeOut(rig.provider) { keys in
                    gathered.add()
                    return WritebackQueueTests.gather(sets[count - 1], of: rig, into: keys)
                }
            }
            Thread.wait { gathered.count > 0 }
            last.waitUntilAsleep()
            #expect(gathered.count == 1)
            #expect(WritebackQueueTests.writeOut([399], of: rig).leaves == 1)
            gate.open()
            for leader in leaders { leader.join() }
            last.join()
        }
        #expect(rig.image.written.count == count * 33 + 1)
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }

    /// Leaders and helpers come at any time, and some writes fail. Each write-out's leaves are out, or it says that
    /// they are not.
    @Test(arguments: Seeds.of(plain: 6, sanitized: 3)) func leadersAndHelpers(seed: UInt64) throws {
        let rig = try ObservedRig()
        let verdict = Verdict()
        Watchdog.guarding("leaders and helpers, seed \(seed)") {
            let helpers = (0..<2).map { _ in Companion { WritebackQueueTests.help(rig) } }
            Thread.run(6) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for round in 1...(Sanitizer.isThread ? 8 : 30) as ClosedRange<UInt8> {
                    WritebackQueueTests.leadOne(rig, leader: UInt64(number), round, &random, verdict)
                }
            }
            rig.pages.writebackQueue.stop()
            for helper in helpers { helper.join() }
        }
        verdict.report("FLEXPAGE_SEED=\(seed)")
        rig.image.heal()
        try rig.end()
    }

    /// Dirties some of a leader's own leaves, one of which may fail, and writes them out.
    private static func leadOne(
        _ rig: ObservedRig, leader: UInt64, _ byte: UInt8, _ random: inout SplitMix64, _ verdict: Verdict
    ) {
        let leaves = (0..<80 as Range<UInt64>).filter { _ in random.once(in: 2) }.map { leader * 80 + $0 }
        let pages = leaves.map(page)
        let bad = random.once(in: 3) ? pages.randomElement(using: &random) : nil
        if let bad { rig.image.fail(bad) }
        do throws(AccessError) { try rig.dirty(pages, byte) } catch { return verdict.blame("\(error)") }
        let (count, error) = writeOut(leaves.shuffled(using: &random), of: rig)
        verdict.expect(count == leaves.count, "\(count) of \(leaves.count)")
        verdict.expect((error != nil) == (bad != nil), "\(error as Any) with \(bad as Any)")
        for page in pages where page != bad { verdict.expect(rig.image.holds(byte, page), "page \(page) is not out") }
        if let bad {
            rig.image.heal(bad)
            verdict.expect(writeOut(leaves, of: rig).error == nil, "what is healed goes out")
        }
    }

    /// A kick wakes the watch, even if it came before the watch slept, and wakes it once.
    @Test func kicked() throws {
        let rig = try ObservedRig()
        let queue = rig.pages.writebackQueue
        let hour = 3_600_000
        Watchdog.guarding("kicked") {
            queue.kick()
            queue.kick()
            #expect(queue.waitForKick(milliseconds: hour))
            let watch = Companion { _ = queue.waitForKick(milliseconds: hour) }
            watch.waitUntilAsleep()
            #expect(!watch.hasEnded)
            queue.kick()
            watch.join()
            #expect(queue.waitForKick(milliseconds: 1), "the watch sleeps no longer than the given time")
        }
        try rig.end()
    }

    /// The whole crew goes home when it is sent, and so do threads that come later. A write-out needs none of them.
    @Test func goesHome() throws {
        let rig = try ObservedRig()
        let queue = rig.pages.writebackQueue
        let stayed = Tally()
        try dirty(scattered(50), rig)
        Watchdog.guarding("goes home") {
            let helpers = (0..<2).map { _ in Companion { if Self.help(queue) { stayed.add() } } }
            let watch = Companion { if queue.waitForKick(milliseconds: 3_600_000) { stayed.add() } }
            for thread in helpers + [watch] { thread.waitUntilAsleep() }
            queue.stop()
            for thread in helpers + [watch] { thread.join() }
            #expect(stayed.count == 0)
            #expect(!Self.help(queue))
            #expect(!queue.waitForKick(milliseconds: 3_600_000))
            #expect(WritebackQueueTests.writeOut(scattered(50), of: rig).leaves == 50)
        }
        #expect(rig.pages.dirtyLimit.pages == 0)
        try rig.end()
    }
}
