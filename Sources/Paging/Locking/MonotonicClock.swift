import Glibc

/// The monotonic clock, and sleep.
enum MonotonicClock {
    /// Whole milliseconds. Cheap, and as exact as the system's ticks.
    static var milliseconds: Int {
        let now = read(CLOCK_MONOTONIC_COARSE)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    /// Seconds and fractions of them.
    static var seconds: Double {
        let now = read(CLOCK_MONOTONIC)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }

    /// Sleeps for a millisecond.
    static func sleepBriefly() { usleep(1000) }

    @inline(__always)
    private static func read(_ clock: clockid_t) -> timespec {
        var now = timespec()
        clock_gettime(clock, &now)
        return now
    }
}
