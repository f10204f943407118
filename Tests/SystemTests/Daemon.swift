import Glibc
import TestSupport

/// A real nbdkit that serves the built plugin, or the built filter, as a daemon on a Unix socket. Killed when this
/// goes.
final class Daemon {
    private let scratch: Scratch
    let pid: pid_t
    var socket: String { scratch.path("socket") }

    /// Starts it and waits until clients can connect.
    init(_ image: Image, _ parameters: String..., pager: Pager = .plugin) throws {
        scratch = Scratch()
        let pidFile = scratch.path("pid")
        let start = try Subprocess.run(
            ["nbdkit", "-P", pidFile, "-U", scratch.path("socket")] + (try pager.arguments()) + [image.path]
                + pager.parameters(parameters))
        guard start.status == 0 else { throw Trouble("nbdkit has ended with \(start.status): \(start.output)") }
        pid = try Patience.wait(seconds: 60, "there is no pid in \(pidFile)") {
            (try? Files.text(pidFile))?.split(separator: "\n").first.flatMap { pid_t($0) }
        }
    }

    deinit { kill(pid, SIGKILL) }

    func waitUntilGone() throws {
        try Patience.wait(seconds: 60, "the daemon \(pid) does not go") { Machine.isGone(pid) ? () : nil }
    }
}
