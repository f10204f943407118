import Glibc
import TestSupport
import Testing

/// What the process takes, and locks, beside memory=.
@Suite struct FootprintTests {
    private static let needsRoot: Comment = "only root can lock so much memory"

    /// Starts a server through a shell that runs `limits` first, with one client that has read and written. Returns a
    /// line of its /proc/…/status, in MiB.
    private func mebibytes(_ line: String, _ limits: String, _ options: [String] = []) throws -> Int {
        let image = try Image(size: 16 << 20)
        let (socket, pidFile) = (image.scratch.path("socket"), image.scratch.path("pid"))
        let command = ["nbdkit", "-f", "--exit-with-parent", "-U", socket, "-P", pidFile] + options
        let server = try Subprocess(
            [
                "bash", "-c",
                "\(limits); exec \(command.joined(separator: " ")) \(try Plugin.built()) \(image.path) memory=32M",
            ],
            outputPath: image.scratch.path("log"))
        try Patience.wait(seconds: 60, "nbdkit does not serve: \(server.output)") {
            access(pidFile, F_OK) == 0 || server.hasEnded ? () : nil
        }
        let client = try Client(socket: socket)
        for offset in stride(from: 0, to: 16 << 20, by: 1 << 20) {
            try client.write(try client.read(1 << 20, at: offset), at: offset)
        }
        for text in try Files.text("/proc/\(server.pid)/status").split(separator: "\n") where text.hasPrefix("\(line):")
        {
            return Int(text.split { " \t".contains($0) }[1])! >> 10
        }
        throw Trouble("/proc has no \(line)")
    }

    /// With nbdkit --swap and one connection less than 340 MiB are locked: 32 of memory=, some 192 that nbdkit takes
    /// for itself, and what libraries and stacks take. (With the system's own stacks and arenas of malloc, it is more
    /// than a gibibyte.)
    @Test(.enabled(if: Machine.isRoot, needsRoot)) func locked() throws {
        #expect(try mebibytes("VmLck", "ulimit -l unlimited", ["--swap"]) < 340)
    }

    /// A user's own size of stacks holds, whether smaller or larger than ours, and so does a user's setting for
    /// malloc's arenas.
    @Test func whatTheUserSets() throws {
        let standard = try mebibytes("VmSize", "true")
        #expect(try mebibytes("VmSize", "ulimit -s 128") < standard)
        #expect(try mebibytes("VmSize", "ulimit -s 16384") > standard + 16 * 15)
        #expect(try mebibytes("VmSize", "export MALLOC_ARENA_MAX=8") > standard + 64)
        #expect(try mebibytes("VmSize", "export GLIBC_TUNABLES=glibc.malloc.arena_max=8") > standard + 64)
    }
}
