import Foundation
import Glibc
import TestSupport

/// Programs, and what the kernel lets processes do.
extension Machine {
    /// Whether nbdfuse can make a file of an export.
    static var canExportFiles: Bool {
        isRoot && access("/dev/fuse", R_OK | W_OK) == 0 && Subprocess.exists("nbdfuse")
    }

    /// Whether nbdfuse can make a file of an export, that file can be a loop device, and that device an ext4.
    static var canMountExports: Bool { canLoop && canExportFiles && Subprocess.exists("mkfs.ext4") }

    /// Whether the kernel gives this process rings of io_uring.
    static var hasRings: Bool {
        typealias Setup = @convention(c) (Int, Int, UnsafeMutableRawPointer) -> Int
        guard let call = dlsym(nil, "syscall") else { return false }
        var parameters = [UInt8](repeating: 0, count: 120)
        // io_uring_setup(2) has this number on every architecture that Flexpage runs on.
        let ring = unsafeBitCast(call, to: Setup.self)(425, 1, &parameters)
        if ring >= 0 { close(Int32(ring)) }
        return ring >= 0
    }

    /// Whether a process can be traced.
    static var canTrace: Bool {
        Subprocess.exists("strace") && (try? Subprocess.run("strace", "-qq", "-e", "trace=none", "true").status) == 0
    }

    /// Whether all threads of `pid` are traced by `tracer`.
    static func isTraced(_ pid: pid_t, by tracer: pid_t) -> Bool {
        guard let tasks = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task") else {
            return false
        }
        return tasks.allSatisfy {
            (try? Files.text("/proc/\(pid)/task/\($0)/status"))?.contains("TracerPid:\t\(tracer)\n") == true
        }
    }

    /// Whether the process has ended. It may be a zombie for a while, because its parent is another process.
    static func isGone(_ pid: pid_t) -> Bool {
        guard let status = try? Files.text("/proc/\(pid)/stat") else { return true }
        return status.split(separator: ")").last?.hasPrefix(" Z") == true
    }

    /// A directory in which a control group that bounds memory can be made.
    static var memoryGroups: String? {
        guard isRoot else { return nil }
        let versionOne = "/sys/fs/cgroup/memory"
        if access("\(versionOne)/memory.limit_in_bytes", W_OK) == 0 || access("\(versionOne)/cgroup.procs", W_OK) == 0 {
            return versionOne
        }
        let versionTwo = try? Files.text("/sys/fs/cgroup/cgroup.subtree_control")
        return versionTwo?.contains("memory") == true ? "/sys/fs/cgroup" : nil
    }
}
