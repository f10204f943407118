import SystemPackage

/// The control groups that this process is in, as far as they bound its memory.
///
/// /proc/self/cgroup names a group in each hierarchy: a v1 one whose controllers include `memory`, and the v2 one
/// (`0::`). A machine can have both at once; only one of them has the memory controller then, and the other's group has
/// no such file. /proc/self/mountinfo says where a hierarchy is mounted, and which of its groups the mount shows as its
/// top. A group's limit holds for the groups inside it too, so all the way up to the top is looked at.
struct ControlGroups {
    private let root: FilePath

    init(root: FilePath) {
        self.root = root
    }

    /// The limits of the groups this process is in, and of those around them.
    func memoryBounds() -> [MemoryBound] {
        guard let groups = TextFile.read(root.pushing("proc/self/cgroup")),
            let mounts = TextFile.read(root.pushing("proc/self/mountinfo"))
        else { return [] }
        let hierarchies = mounts.split(separator: "\n").compactMap { Hierarchy(mountinfo: $0) }
        return groups.split(separator: "\n").flatMap { bounds(ofGroup: $0, in: hierarchies) }
    }

    /// The limits along the path of one line of /proc/self/cgroup, `number:controllers:path`.
    private func bounds(ofGroup line: Substring, in hierarchies: [Hierarchy]) -> [MemoryBound] {
        let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { return [] }
        let isUnified = fields[1].isEmpty
        guard isUnified || fields[1].split(separator: ",").contains("memory"),
            let hierarchy = hierarchies.first(where: { $0.isUnified == isUnified })
        else { return [] }
        return hierarchy.directories(ofGroup: FilePath(String(fields[2]))).compactMap { limit(of: $0, isUnified) }
    }

    /// The limit of one group, where it has one.
    private func limit(of directory: FilePath, _ isUnified: Bool) -> MemoryBound? {
        let file = directory.appending(isUnified ? "memory.max" : "memory.limit_in_bytes")
        guard let text = TextFile.read(root.pushing(file.removingRoot())),
            // "max" in v2 is no number; no limit in v1 is one that no machine has.
            let bytes = text.split(separator: "\n").first.flatMap({ Int($0) })
        else { return nil }
        return MemoryBound(bytes: bytes, owner: "the control group's \(file) allows")
    }
}

extension ControlGroups {
    /// A mounted hierarchy of control groups that can bound memory.
    private struct Hierarchy {
        let isUnified: Bool
        /// The group that the mount shows at its top. In a container it need not be the hierarchy's own.
        let top: FilePath
        let mountPoint: FilePath

        /// Reads a line of /proc/self/mountinfo: `id parent major:minor root point options [fields…] - type source
        /// options`.
        init?(mountinfo line: Substring) {
            let fields = line.split(separator: " ").map(String.init)
            guard let dash = fields.firstIndex(of: "-"), dash >= 5, fields.count >= dash + 4 else { return nil }
            let isMemory = fields[dash + 3].split(separator: ",").contains("memory")
            switch fields[dash + 1] {
            case "cgroup2": isUnified = true
            case "cgroup" where isMemory: isUnified = false
            default: return nil
            }
            top = FilePath(fields[3])
            mountPoint = FilePath(fields[4])
        }

        /// Where `group` and the groups around it are, innermost first, as far as the mount shows them.
        func directories(ofGroup group: FilePath) -> [FilePath] {
            var inside = group
            // A group that the mount does not show: what it does show, its top, is around it.
            if !inside.removePrefix(top) {
                inside = "/"
            }
            var directory = mountPoint.pushing(inside.removingRoot())
            var directories = [directory]
            while directory != mountPoint, directory.removeLastComponent() {
                directories.append(directory)
            }
            return directories
        }
    }
}
