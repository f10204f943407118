import SystemPackage

/// The control groups of this process that can limit its memory.
///
/// /proc/self/cgroup names the process's group in each hierarchy. Two matter: the v1 hierarchy whose controllers
/// include `memory`, and the v2 hierarchy (`0::`). A machine can have both at once. Only one of them has the memory
/// controller then; in the other, the group has no file with a limit. /proc/self/mountinfo tells where a hierarchy is
/// mounted, and which of its groups is the top of that mount. A group's limit also applies to the groups inside it, so
/// every group up to the top is examined.
struct ControlGroups {
    private let root: FilePath

    init(root: FilePath) {
        self.root = root
    }

    /// The limits of this process's groups and of all groups that contain them.
    func memoryBounds() -> [MemoryBound] {
        guard let groups = TextFile.read(root.pushing("proc/self/cgroup")),
            let mounts = TextFile.read(root.pushing("proc/self/mountinfo"))
        else { return [] }
        let hierarchies = mounts.split(separator: "\n").compactMap { Hierarchy(mountinfo: $0) }
        return groups.split(separator: "\n").flatMap { bounds(ofGroup: $0, in: hierarchies) }
    }

    /// The limits of the groups along the path in one line of /proc/self/cgroup, `number:controllers:path`.
    private func bounds(ofGroup line: Substring, in hierarchies: [Hierarchy]) -> [MemoryBound] {
        let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { return [] }
        let isUnified = fields[1].isEmpty
        guard isUnified || fields[1].split(separator: ",").contains("memory"),
            let hierarchy = hierarchies.first(where: { $0.isUnified == isUnified })
        else { return [] }
        return hierarchy.directories(ofGroup: FilePath(String(fields[2]))).compactMap { limit(of: $0, isUnified) }
    }

    /// The limit of one group, or nil if it has none.
    private func limit(of directory: FilePath, _ isUnified: Bool) -> MemoryBound? {
        let file = directory.appending(isUnified ? "memory.max" : "memory.limit_in_bytes")
        guard let text = TextFile.read(root.pushing(file.removingRoot())),
            // Without a limit, v2 says "max", which is not a number, and v1 names more than any machine has.
            let bytes = text.split(separator: "\n").first.flatMap({ Int($0) })
        else { return nil }
        return MemoryBound(bytes: bytes, owner: "the control group's \(file) allows")
    }
}

extension ControlGroups {
    /// A mounted hierarchy of control groups that can bound memory.
    private struct Hierarchy {
        let isUnified: Bool
        /// The group at the top of the mount. In a container it need not be the hierarchy's root.
        let top: FilePath
        let mountPoint: FilePath

        /// Parses a line of /proc/self/mountinfo: `id parent major:minor root point options [fields…] - type source
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

        /// The directories of `group` and of the groups that contain it, innermost first, as far as they are mounted.
        func directories(ofGroup group: FilePath) -> [FilePath] {
            var inside = group
            // The group itself is not mounted. The top of the mount contains it.
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
