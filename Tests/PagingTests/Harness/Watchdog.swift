import Glibc
import TestSupport

/// Ends the process, and names what hangs, if something has not ended after long minutes: so a deadlock is a failure
/// and not an endless wait. No test's verdict depends on its speed.
enum Watchdog {
    private static let minutes = 10
    /// By number, because tests that run at the same time may guard the same.
    private static let guarded = Guarded<(next: Int, deadlines: [Int: (what: String, end: Int)])>((0, [:]))
    private static let thread: pthread_t = Thread.start {
        while true {
            sleep(1)
            let now = Patience.now
            let late = guarded.withLock { $0.deadlines.values.first { $0.end < now }?.what }
            if let late { fatalError("still not at its end after \(minutes) minutes: \(late)") }
        }
    }

    /// Runs `body`, which must end.
    static func guarding<Result>(_ what: String, _ body: () throws -> Result) rethrows -> Result {
        _ = thread
        let number = guarded.withLock {
            $0.next += 1
            $0.deadlines[$0.next] = (what, Patience.now + minutes * 60_000)
            return $0.next
        }
        defer { guarded.withLock { $0.deadlines[number] = nil } }
        return try body()
    }
}
