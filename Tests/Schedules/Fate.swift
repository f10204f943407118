import Scheduling
import TestSupport

/// What the schedule draws for an image: how long its work takes, and whether it fails. An image may take so long that
/// it hangs until all other threads have continued. Its work may also end in another order than it began.
enum Fate {
    static func delay(_ random: inout SplitMix64, upTo most: Int) {
        guard let scheduler = Scheduler.active else { return }
        scheduler.step(Event("the image", 0, #fileID, #line))
        guard most > 0, scheduler.draw(onceIn: 4) else { return }
        scheduler.sleep(nanoseconds: most * 1000 << scheduler.draw(6))
    }

    static func fails(_ random: inout SplitMix64, onceIn times: Int) -> Bool {
        Scheduler.active?.draw(onceIn: times) ?? false
    }

    static func letOthersRun(_ random: inout SplitMix64, onceIn times: Int) {
        Scheduler.active?.step(Event("the image", 0, #fileID, #line))
    }
}
