import SystemPackage

/// What bounds the memory a process can have: the machine's, or that of a control group it is in.
///
/// Asking for more than there is would be found out late, by the kernel killing the server while it serves; so it is
/// found out here, from what /proc and the control groups' file systems say. What cannot be read bounds nothing.
/// Read once, when the plugin is configured.
struct MemoryBound: Equatable {
    /// The most there is, in bytes.
    let bytes: Int
    /// Whose it is, for a person: "this machine has", "the control group at … allows".
    let owner: String

    /// The tightest of the bounds of this process. `root` is "/" but in tests.
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
