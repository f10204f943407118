import Testing

@testable import Paging

/// A plan is a few runs and a mark.
@Suite struct ReadaheadPlanTests {
    /// It keeps the runs in order, the last mark, no empty run, and no more runs than it has room for.
    @Test func keepsWhatThereIsRoomFor() {
        var plan = ReadaheadPlan()
        plan.add(5..<5, marked: 5)
        #expect(plan.isEmpty && plan.mark == nil)
        for run in 0..<10 as Range<UInt64> { plan.add(run * 10..<run * 10 + 3, marked: run == 1 ? 11 : nil) }
        #expect(plan.count == ReadaheadPlan.capacity && plan.mark == 11)
        for run in 0..<plan.count { #expect(plan[run] == UInt64(run) * 10..<UInt64(run) * 10 + 3) }
    }
}
