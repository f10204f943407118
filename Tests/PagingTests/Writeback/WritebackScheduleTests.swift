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
