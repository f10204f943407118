import Glibc

/// A control group in which a disk has the speed that a test gives it, for as long as this is held.
///
/// The disk is the one that holds a file's filesystem, and the limit is for the processes in the group. The kernel's
/// own work for the filesystem (its journal) is as fast as ever.
package final class ThrottleGroup {
    package static let needs = "needs root, a blkio or io controller, and a disk of its own under /var/tmp"
    /// True if the disk under /var/tmp can be slowed down.
    package static var isAvailable: Bool {
        (try? ThrottleGroup(near: "/var/tmp").limit(bytesPerSecond: 1 << 30)) != nil
    }

    private let directory: String
    private let device: String
    private let isVersionOne: Bool

    /// - Parameter path: A file on the disk.
    package init(near path: String) throws {
        var status = stat()
        guard geteuid() == 0, stat(path, &status) == 0 else { throw Trouble("not root, or no \(path)") }
        device = try Self.disk(of: status.st_dev)
        isVersionOne = access("/sys/fs/cgroup/blkio/cgroup.procs", W_OK) == 0
        directory = "/sys/fs/cgroup\(isVersionOne ? "/blkio" : "")/flexpage-throttle-\(getpid())-\(rand())"
        guard mkdir(directory, 0o755) == 0 else {
            throw Trouble("mkdir \(directory): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        // It empties when the last process in it has been waited for.
        for _ in 0..<500 where rmdir(directory) != 0 { usleep(10_000) }
    }

    /// The numbers of the whole disk that device `number` is, or is a part of.
    private static func disk(of number: dev_t) throws -> String {
        let (major, minor) = ((number >> 8) & 0xFFF, (number & 0xFF) | (number >> 12) & 0xFFF00)
        let entry = "/sys/dev/block/\(major):\(minor)"
        guard access(entry, F_OK) == 0 else { throw Trouble("\(major):\(minor) is no disk") }
        guard access("\(entry)/partition", F_OK) == 0 else { return "\(major):\(minor)" }
        return try Files.text("\(entry)/../dev").filter { !$0.isNewline }
    }

    /// Takes a process into the group, with all its threads.
    package func take(_ pid: pid_t) throws { try Files.write(Array("\(pid)".utf8), to: "\(directory)/cgroup.procs") }

    /// From now on the group writes no faster than this.
    package func limit(bytesPerSecond: Int) throws {
        try set("blkio.throttle.write_bps_device", "\(bytesPerSecond)", "wbps=\(bytesPerSecond)")
    }

    /// From now on the group reads no faster than this.
    package func limitReading(bytesPerSecond: Int) throws {
        try set("blkio.throttle.read_bps_device", "\(bytesPerSecond)", "rbps=\(bytesPerSecond)")
    }

    private func set(_ file: String, _ value: String, _ valueOfVersionTwo: String) throws {
        let (name, text) = isVersionOne ? (file, value) : ("io.max", valueOfVersionTwo)
        try Files.write(Array("\(device) \(text)".utf8), to: "\(directory)/\(name)")
    }
}
