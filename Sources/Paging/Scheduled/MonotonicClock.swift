import Glibc
import Scheduling

/// The clock of the build in which a Scheduler runs the threads: the Scheduler's, or the system's if none is active.
enum MonotonicClock {
    private static var now: Int {
        if let scheduler = Scheduler.active { return scheduler.now }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    static var milliseconds: Int { now / 1_000_000 }
    static var seconds: Double { Double(now) / 1e9 }

    static func sleepBriefly() {
        if let scheduler = Scheduler.active { return scheduler.sleep(nanoseconds: 1_000_000) }
        usleep(1000)
    }
}
