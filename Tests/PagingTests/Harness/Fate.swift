import Glibc
import TestSupport

/// What an image does beside its work, drawn: how long that takes, and whether it fails. Where a Scheduler runs the
/// threads all of it is part of the schedule, and `Fate` is another one (Tests/Schedules).
enum Fate {
    /// Takes up to `most` microseconds, once in four times.
    static func delay(_ random: inout SplitMix64, upTo most: Int) {
        if most > 0, random.once(in: 4) { usleep(UInt32(random.pick(0...most))) }
    }

    static func fails(_ random: inout SplitMix64, onceIn times: Int) -> Bool { random.once(in: times) }

    static func letOthersRun(_ random: inout SplitMix64, onceIn times: Int) {
        if random.once(in: times) { sched_yield() }
    }
}
