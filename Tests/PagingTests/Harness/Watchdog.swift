import Glibc

/// Ends the process, and names what hangs, if something has not ended after long minutes: so a deadlock is a failure
/// and not an endless wait. No test's verdict depends on its speed.
enum Watchdog {
    private static let minutes = 10
    private static let deadlines = Guarded<[String: Int]>([:])
    private static let thread: pthread_t = Thread.start {
        while true {
            sleep(1)
            let now = time(nil)
            let late = deadlines.withLock { $0.first { $0.value < now }?.key }
            if let late { fatalError("still not at its end after \(minutes) minutes: \(late)") }
        }
    }

    /// Runs `body`, which must end.
    static func guarding<Result>(_ what: String, _ body: () throws -> Result) rethrows -> Result {
        _ = thread
        deadlines.withLock { $0[what] = time(nil) + minutes * 60 }
        defer { deadlines.withLock { $0[what] = nil } }
        return try body()
    }
}
