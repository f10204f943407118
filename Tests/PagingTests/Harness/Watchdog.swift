import Glibc

/// Ends the process, with a word on what hangs, where something has not ended after long minutes: a deadlock is then a
/// failure and no wait for ever. No test's verdict hangs on how fast it is.
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
