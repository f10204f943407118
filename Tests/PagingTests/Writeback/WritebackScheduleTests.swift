import Testing

@testable import Paging

/// What the Writeback knows of each image: as long as the image stays open, and no longer.
@Suite struct WritebackScheduleTests {
    /// What was noted of an image stays as long as it is open.
    @Test func isKept() {
        var schedule = WritebackSchedule(opening: 7)
        schedule.nextRetry = 1000
        schedule.nextSync = 2000
        schedule.epochs.note(1, at: 0, age: 16)
        schedule.begin(opening: 7)
        #expect(schedule.nextRetry == 1000)
        #expect(schedule.nextSync == 2000)
        #expect(schedule.epochs.latest(endedBy: 0) == 1)
    }

    /// What cannot be written out grows older with each attempt, which gives it another epoch.
    @Test func whatFailsGrowsOlder() {
        var schedule = WritebackSchedule(opening: 1)
        for epoch in UInt32(1)...5 { schedule.epochs.note(epoch, at: Int(epoch) * 1000, age: 16) }
        func since(_ epoch: UInt32?, hasFailed: Bool) -> Int? {
            schedule.dirtySince(epoch, hasFailed: hasFailed, now: 9000)
        }
        let first = since(2, hasFailed: false)
        #expect(first != nil)
        #expect(since(4, hasFailed: true) == first && since(5, hasFailed: true) == first)
        #expect(since(nil, hasFailed: false) == nil)
        let later = since(4, hasFailed: true)
        #expect(later != nil && later! > first!)
        #expect(since(5, hasFailed: false)! > later!)
    }

    /// An image that gets the number of one that was closed begins anew: the other's epochs say nothing of it.
    @Test func beginsAnew() {
        var schedule = WritebackSchedule(opening: 0)
        schedule.begin(opening: 1)
        #expect(schedule.opening == 1)
        schedule.nextRetry = 1000
        schedule.nextSync = 1000
        schedule.epochs.note(500, at: 0, age: 16)
        schedule.begin(opening: 2)
        #expect(schedule.opening == 2)
        #expect(schedule.nextRetry == 0 && schedule.nextSync == 0)
        #expect(schedule.epochs.latest(endedBy: .max) == nil)
    }
}
