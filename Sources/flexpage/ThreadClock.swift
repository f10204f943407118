import Glibc

/// The processor time of the calling thread, which other work on the machine affects less than the wall clock.
enum ThreadClock {
    static var nanoseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }
}
