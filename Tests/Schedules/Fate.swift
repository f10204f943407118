import Scheduling
import TestSupport

/// What an image does beside its work, as the schedule draws it: how long that takes, and whether it fails. An image
/// that takes long is one that hangs until all others have gone on, or that ends in another order than it began.
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
