import Glibc
import TestSupport

/// An export as a file, through nbdfuse, for as long as this is held.
final class FuseExport {
    let file: String
    private let scratch: Scratch
    private let process: Subprocess
    private let directory: String

    init(_ server: Server, connections: Int = 4) throws {
        scratch = Scratch()
        directory = scratch.path("fuse")
        guard mkdir(directory, 0o755) == 0 else { throw Trouble("mkdir \(directory)") }
        let file = "\(directory)/disk"
        self.file = file
        let process = try Subprocess(
            ["nbdfuse", "-C", "\(connections)", file, "nbd+unix:///?socket=\(server.socket)"],
            outputPath: scratch.path("log"))
        self.process = process
        try Patience.wait(seconds: 60, "nbdfuse does not serve: \(process.output)") {
            access(file, F_OK) == 0 || process.hasEnded ? () : nil
        }
        guard !process.hasEnded else { throw Trouble("nbdfuse has ended: \(process.output)") }
    }

    /// Unmounts it, and waits until nbdfuse has left the server.
    func end() throws {
        guard umount2(directory, 0) == 0 else {
            throw Trouble("umount \(directory): \(String(cString: strerror(errno)))")
        }
        _ = try process.wait()
    }

    deinit {
        umount2(directory, Int32(MNT_DETACH))
        _ = try? process.wait(seconds: 10)
    }
}
