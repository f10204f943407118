import SystemPackage

/// A bound on the memory of this process: that of the machine, or the limit of a control group.
///
/// If memory= were more than that, the kernel would kill the server some time while it serves. So the bounds are read
/// from /proc and from the control groups' filesystem when the plugin is configured. A file that cannot be read sets no
/// bound.
struct MemoryBound: Equatable {
    /// In bytes.
    let bytes: Int
    /// Who sets it, for messages: "this machine has", "the control group's … allows".
    let owner: String

    /// The tightest of this process's bounds. `root` is "/" except in tests.
    static func tightest(root: FilePath = "/") -> MemoryBound? {
        let bounds = [machine(root: root)] + ControlGroups(root: root).memoryBounds()
        return bounds.compactMap(\.self).min { $0.bytes < $1.bytes }
    }

    /// MemTotal of /proc/meminfo, which is in KiB.
    private static func machine(root: FilePath) -> MemoryBound? {
        guard let text = TextFile.read(root.pushing("proc/meminfo")) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count >= 2, let kibibytes = Int(words[1]) else { return nil }
            return MemoryBound(bytes: kibibytes << 10, owner: "this machine has")
        }
        return nil
    }
}
