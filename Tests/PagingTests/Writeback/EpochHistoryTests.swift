import TestSupport
import Testing

@testable import Paging

/// Which dirty pages are older than an age: coarsely, and never too young.
@Suite struct EpochHistoryTests {
    /// Before anything is noted, and for a time before the first note, nothing is known.
    @Test func nothingIsKnownAtFirst() {
        var history = EpochHistory()
        #expect(history.latest(endedBy: .max) == nil)
        history.note(7, at: 1000, age: 5000)
        #expect(history.latest(endedBy: 999) == nil)
        #expect(history.latest(endedBy: 1000) == 7)
    }

    /// The answer is the latest epoch that ended by then; not the latest of all, and not the first.
    @Test func theLatestByThen() {
        var history = EpochHistory()
        for epoch in 1...10 as ClosedRange<UInt32> { history.note(epoch, at: Int(epoch) * 100, age: 1600) }
        #expect(history.latest(endedBy: 99) == nil)
        #expect(history.latest(endedBy: 550) == 5)
        #expect(history.latest(endedBy: 600) == 6)
        #expect(history.latest(endedBy: 5000) == 10)
    }

    /// When an epoch ended: when the first noted one did that is not earlier. Old notes go, and numbers come round.
    @Test func ends() {
        var history = EpochHistory()
        #expect(history.end(of: 1) == nil)
        let first = UInt32.max - 20
        for index in 0..<40 { history.note(first &+ UInt32(index), at: 100 + index * 100, age: 1600) }
        #expect(history.end(of: first &+ 39) == 4000)
        #expect(history.end(of: first &+ 40) == nil)
        #expect(history.end(of: first &+ 25) == 2600)
        #expect(history.end(of: first) == 900, "the oldest of 32 notes")
    }

    /// What has been dirty for the longest time keeps its time until it is out, however much is noted meanwhile.
    @Test func dirtySince() {
        var schedule = WritebackSchedule(opening: 1)
        #expect(schedule.dirtySince(nil, hasFailed: false, now: 50) == nil)
        schedule.epochs.note(3, at: 100, age: 1600)
        #expect(schedule.dirtySince(3, hasFailed: false, now: 120) == 100)
        for epoch in 4...60 as ClosedRange<UInt32> { schedule.epochs.note(epoch, at: Int(epoch) * 100, age: 1600) }
        #expect(schedule.dirtySince(3, hasFailed: false, now: 6000) == 100)
        #expect(schedule.dirtySince(50, hasFailed: false, now: 6000) == 5000)
        #expect(schedule.dirtySince(nil, hasFailed: false, now: 6001) == nil)
        #expect(schedule.dirtySince(61, hasFailed: false, now: 6002) == 6002)
    }

    /// An epoch that ended less than a sixteenth of the age after a note is not noted, so that the few slots last for
    /// the age.
    @Test func notesCoarsely() {
        var history = EpochHistory()
        history.note(1, at: 0, age: 1600)
        history.note(2, at: 99, age: 1600)
        #expect(history.latest(endedBy: 1000) == 1)
        history.note(3, at: 100, age: 1600)
        #expect(history.latest(endedBy: 1000) == 3)
    }

    /// Epochs end often and irregularly, for hours. An epoch reported to have ended by then has. It is less than a
    /// sixteenth of the age behind the best possible answer.
    @Test(arguments: 1...20 as ClosedRange<UInt64>, [16, 100, 1000, 5000]) func neverTooYoung(seed: UInt64, age: Int) {
        var random = SplitMix64(seed: seed)
        var history = EpochHistory()
        var ends: [Int] = []
        var now = random.pick(0...1_000_000)
        for epoch in 0..<600 {
            now += random.once(in: 50) ? random.pick(0...3 * age) : random.pick(0...age / 8)
            history.note(UInt32(epoch), at: now, age: age)
            ends.append(now)
            let said = history.latest(endedBy: now - age).map { Int($0) }
            if let said, ends[said] > now - age { Issue.record("epoch \(said) is too young, seed \(seed)") }
            let due = ends.lastIndex { $0 <= now - age }
            if let due, ends[due] - age / 16 >= said.map({ ends[$0] }) ?? .min {
                Issue.record("epoch \(due) is due, and not \(said as Any), seed \(seed)")
            }
        }
    }
}
