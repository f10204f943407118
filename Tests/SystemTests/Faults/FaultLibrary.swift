import Glibc
import TestSupport

/// The library that makes a thread of nbdkit fault at a chosen place: see faults.c.
final class FaultLibrary {
    private let scratch: Scratch
    private var path: String { scratch.path("faults.so") }
    private var armed: String { scratch.path("armed") }

    static var canBeBuilt: Bool { Subprocess.exists("cc") }

    /// Compiles it.
    init() throws {
        scratch = Scratch()
        let here = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let result = try Subprocess.run(
            "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wno-infinite-recursion", "-o", path, "\(here)/faults.c",
            "-ldl")
        guard result.status == 0 else { throw Trouble("cc: \(result.output)") }
    }

    /// The beginning of a command that makes its program fault at `place` once it has been armed.
    /// - Parameter memory: The value of memory=, bytes.
    func command(faultingAt place: String, memory: Int) -> [String] {
        ["env", "LD_PRELOAD=\(path)", "FAULT=\(place)", "MEMORY=\(memory)", "ARMED=\(armed)"]
    }

    /// Arms it in a process, and waits until it is armed: a signal sent after another may arrive before it.
    func arm(_ pid: pid_t) throws {
        unlink(armed)
        kill(pid, SIGUSR2)
        try Patience.wait(seconds: 30, "the fault is not armed") { access(armed, F_OK) == 0 ? () : nil }
    }
}
