import Glibc

/// A program under way. Its output goes into a file, so that it never waits for anyone to read it.
///
/// Tests that use it are synchronous on purpose. nbdkit's --exit-with-parent is about the thread that started it, and a
/// test that is suspended may continue on another thread.
package final class Subprocess {
    package let pid: pid_t
    package let outputPath: String
    private var status: Int32?

    /// Starts `arguments`, found through PATH. Standard output and error go to `outputPath`.
    /// - Parameter maxSeconds: It is killed if it has not ended by then. Tests that are long on purpose have no limit.
    package init(_ arguments: [String], outputPath: String, maxSeconds: Int = Overdue.max) throws {
        self.outputPath = outputPath
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = Self.undisturbedSignals()
        defer { posix_spawnattr_destroy(&attributes) }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        argv.append(nil)
        defer { for argument in argv { free(argument) } }
        var pid = pid_t()
        let failure = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, environ)
        guard failure == 0 else { throw Trouble("cannot start \(arguments[0]): \(String(cString: strerror(failure)))") }
        self.pid = pid
        Overdue.watch(pid, arguments.joined(separator: " "), seconds: maxSeconds)
    }

    /// The threads that run tests have signals blocked. Programs would inherit that, and never get SIGTERM.
    private static func undisturbedSignals() -> posix_spawnattr_t {
        var attributes = posix_spawnattr_t()
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_init(&attributes)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        return attributes
    }

    /// Waits ten seconds for a process that was killed, and no longer: it cannot end while a disk hangs, and the disk
    /// may be released only after this.
    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            for _ in 0..<1000 where pollStatus() == nil { usleep(10_000) }
        }
    }

    package var output: String { (try? Files.text(outputPath)) ?? "" }

    package var hasEnded: Bool { pollStatus() != nil }

    /// Waits for the end. Returns the exit status, or 128 and the signal's number.
    package func wait(seconds: Int = 60) throws -> Int32 {
        try Patience.wait(seconds: seconds, "process \(pid) has not ended; it said:\n\(output)") { pollStatus() }
    }

    private func pollStatus() -> Int32? {
        if let status { return status }
        guard let raw = Overdue.reap(pid) else { return nil }
        status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
        return status
    }

    /// Runs a program to its end. Returns its exit status and all its output.
    package static func run(_ arguments: String..., seconds: Int = 60) throws -> (status: Int32, output: String) {
        try run(arguments, seconds: seconds)
    }

    package static func run(_ arguments: [String], seconds: Int = 60) throws -> (status: Int32, output: String) {
        let scratch = Scratch()
        let process = try Subprocess(
            arguments, outputPath: scratch.path("output"), maxSeconds: max(Overdue.max, seconds))
        return (try process.wait(seconds: seconds), process.output)
    }

    /// Whether a program can be found through PATH.
    package static func exists(_ name: String) -> Bool {
        let directories = String(cString: getenv("PATH")).split(separator: ":")
        return directories.contains { access("\($0)/\(name)", X_OK) == 0 }
    }
}
