import Testing

@testable import Paging

/// What the watch knows of each image: as long as the image stays open, and no longer.
@Suite struct WritebackScheduleTests {
    /// An image finds again what was noted of it, whatever other images there are.
    @Test func isKept() {
        var schedules: [WritebackSchedule] = []
        schedules[schedules.index(of: 3, opening: 7)].nextRetry = 1000
        schedules[schedules.index(of: 0, opening: 8)].nextSync = 2000
        schedules[schedules.index(of: 5, opening: 9)].epochs.note(1, at: 0, age: 16)
        #expect(schedules[schedules.index(of: 3, opening: 7)].nextRetry == 1000)
        #expect(schedules[schedules.index(of: 0, opening: 8)].nextSync == 2000)
        #expect(schedules[schedules.index(of: 5, opening: 9)].epochs.latest(endedBy: 0) == 1)
        #expect(schedules[schedules.index(of: 4, opening: 10)].nextRetry == 0)
    }

    /// An image that gets the number of one that was closed begins anew: the other's epochs say nothing of it.
    @Test func beginsAnew() {
        var schedules: [WritebackSchedule] = []
        let index = schedules.index(of: 1, opening: 1)
        schedules[index].nextRetry = 1000
        schedules[index].nextSync = 1000
        schedules[index].epochs.note(500, at: 0, age: 16)
        #expect(schedules.index(of: 1, opening: 2) == index)
        #expect(schedules[index].nextRetry == 0 && schedules[index].nextSync == 0)
        #expect(schedules[index].epochs.latest(endedBy: .max) == nil)
    }
}
