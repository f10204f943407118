import Glibc

/// Kills the programs of tests that have run for too long, so that a hang becomes a failure. A client waits for its
/// server's answer without a limit; when the server is killed, the client gets an error, and the test ends. (Servers
/// that are not children of the tests, such as daemons, are not watched. Scripts/test has a limit for all.)
///
/// Thread rules: any thread. A process is reaped and killed with the same lock held, so no other process that has got
/// its number is hit.
package enum Overdue {
    /// Seconds that a program has if nothing else is said. No test takes a tenth of that, except for those that are
    /// long on purpose.
    package static let max = 600

    private static let table = Table()

    /// Begins to watch a child.
    static func watch(_ pid: pid_t, _ name: String, seconds: Int) {
        if !Soak.isOn { table.withLock { $0[pid] = (name, Patience.now + seconds * 1000) } }
    }

    /// The status of a child as waitpid tells it; nil if it has not ended.
    static func reap(_ pid: pid_t) -> Int32? {
        table.withLock { children in
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
            children[pid] = nil
            return status
        }
    }

    /// Standard output has a buffer, which is lost if the tests are killed.
    private static func say(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = write(2, line, line.count)
    }

    private final class Table: @unchecked Sendable {
        private var children: [pid_t: (name: String, end: Int)] = [:]
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

        init() {
            pthread_mutex_init(mutex, nil)
            var thread = pthread_t()
            let context = Unmanaged.passRetained(self).toOpaque()
            pthread_create(
                &thread, nil,
                { context in
                    let table = Unmanaged<Table>.fromOpaque(context!).takeUnretainedValue()
                    while true {
                        sleep(1)
                        table.withLock(Table.killLate)
                    }
                }, context)
        }

        func withLock<Result>(_ body: (inout [pid_t: (name: String, end: Int)]) -> Result) -> Result {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            return body(&children)
        }

        private static func killLate(_ children: inout [pid_t: (name: String, end: Int)]) {
            for (pid, child) in children where child.end < Patience.now {
                Overdue.say("process \(pid) has run for too long, and is killed: \(child.name)")
                kill(pid, SIGKILL)
                children[pid]?.end = .max
            }
        }
    }
}
