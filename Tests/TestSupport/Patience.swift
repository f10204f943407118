import Glibc

/// Waiting for other processes. A limit is the time past which something hangs, not the time that is good.
package enum Patience {
    /// Asks again and again until there is an answer.
    package static func wait<Answer>(
        seconds: Int, _ complaint: @autoclosure () -> String, _ ask: () -> Answer?
    ) throws -> Answer {
        let end = now + seconds * 1000
        while now < end {
            if let answer = ask() { return answer }
            usleep(2000)
        }
        throw Trouble("after \(seconds) s \(complaint())")
    }

    /// Milliseconds of a clock that nobody sets.
    package static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
