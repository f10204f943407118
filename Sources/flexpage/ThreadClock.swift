import Glibc

/// The clock of the calling thread: the processor time that it has had, so that other work on the machine counts less.
enum ThreadClock {
    static var nanoseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }
}
