import Glibc

/// What tests need that a machine may lack.
enum Machine {
    static var isRoot: Bool { geteuid() == 0 }

    /// Whether a file system of `type` can be mounted.
    static func canMount(_ type: String) -> Bool {
        guard isRoot, let directory = try? Scratch(), mount(type, directory.path("."), type, 0, nil) == 0 else {
            return false
        }
        umount2(directory.path("."), 0)
        return true
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
