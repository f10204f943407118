import CLinux
import Glibc

/// SIGHUP, SIGINT and SIGTERM as something to wait for: readable when one has arrived. They do not end the process any
/// more.
final class EndSignals {
    let descriptor: Int32

    init() throws {
        descriptor = linux_end_signals()
        guard descriptor >= 0 else { throw AttachError("signals: \(String(cString: strerror(-descriptor)))") }
    }

    deinit { close(descriptor) }
}
