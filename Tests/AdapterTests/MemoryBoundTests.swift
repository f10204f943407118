import Foundation
import SystemPackage
import Testing

@testable import Adapter

/// What bounds a process's memory, read from made-up /proc and /sys.
@Suite struct MemoryBoundTests {
    /// A root directory with some files in it, for as long as this is held.
    private final class Root {
        let path: FilePath

        init(_ files: [String: String]) throws {
            path = FilePath("/tmp/flexpage-root.\(UUID().uuidString)")
            for (name, text) in files {
                let file = path.pushing(FilePath(name))
                try FileManager.default.createDirectory(
                    atPath: file.removingLastComponent().string, withIntermediateDirectories: true)
                try Data(text.utf8).write(to: URL(fileURLWithPath: file.string))
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: path.string) }
    }

    private static let meminfo = "MemTotal:       16384 kB\nMemFree:        1 kB\n"
    private static let unified = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    private static let hybrid = """
        31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
        36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

        """

    private func bound(_ files: [String: String]) throws -> MemoryBound? {
        let root = try Root(files)
        return withExtendedLifetime(root) {
            MemoryBound.tightest(group: MemoryBound.ofGroups(root: root.path), root: root.path)
        }
    }

    /// Without a control group the machine's memory is the bound.
    @Test func machine() throws {
        let bound = try bound(["proc/meminfo": Self.meminfo])
        #expect(bound?.bytes == 16 << 20)
        #expect(bound?.owner == "this machine has")
    }

    /// If nothing can be read, nothing is bound.
    @Test func nothing() throws {
        #expect(try bound([:]) == nil)
        let rubbish = [
            "proc/meminfo": "rubbish\n", "proc/self/cgroup": "::\n0:\n", "proc/self/mountinfo": "a - b\n",
        ]
        #expect(try bound(rubbish) == nil)
    }

    /// In version 2 the limit of a group around ours counts, and "max" does not.
    @Test func versionTwo() throws {
        let bound = try bound([
            "proc/meminfo": Self.meminfo, "proc/self/cgroup": "0::/a/b/c\n", "proc/self/mountinfo": Self.unified,
            "sys/fs/cgroup/a/b/c/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.max": "8388608\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
        ])
        #expect(bound?.bytes == 8 << 20)
        #expect(bound?.owner == "the control group's /sys/fs/cgroup/a/b/memory.max allows")
    }

    /// The tightest of several counts, wherever it is.
    @Test func tightest() throws {
        let bound = try bound([
            "proc/meminfo": Self.meminfo, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": Self.unified,
            "sys/fs/cgroup/a/b/memory.max": "9000000\n", "sys/fs/cgroup/a/memory.max": "5000000\n",
        ])
        #expect(bound?.bytes == 5_000_000)
    }

    /// Of two hierarchies the one with the memory controller counts. Version 1's way to say "no limit" is no limit.
    @Test func hybrid() throws {
        var files = [
            "proc/meminfo": Self.meminfo, "proc/self/cgroup": "4:memory:/x/y\n1:cpu:/z\n0::/\n",
            "proc/self/mountinfo": Self.hybrid,
            "sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "9223372036854771712\n",
        ]
        #expect(try bound(files)?.bytes == 16 << 20)
        files["sys/fs/cgroup/memory/x/memory.limit_in_bytes"] = "4194304\n"
        #expect(try bound(files)?.bytes == 4 << 20)
    }

    /// In a container, whose mount shows its own group at the top, that group's limit is found.
    @Test func container() throws {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        let bound = try bound([
            "proc/meminfo": Self.meminfo, "proc/self/cgroup": "4:memory:/docker/abc\n", "proc/self/mountinfo": mounts,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152\n",
        ])
        #expect(bound?.bytes == 2 << 20)
    }

    /// A memory= over the bound is refused in words that name the bound, and the bound itself is served.
    @Test func refusal() throws {
        let server = Server { _ in }
        try server.configure("memory", "64M")
        try server.check(memoryBound: nil)
        try server.check(memoryBound: MemoryBound(bytes: 64 << 20, owner: "this machine has"))
        let error = #expect(throws: ConfigurationError.self) {
            try server.check(memoryBound: MemoryBound(bytes: (64 << 20) - 1, owner: "this machine has"))
        }
        #expect(error?.text == "memory=64M: more than the 63M that this machine has; expected at most 63M")
    }

    /// A memory= that leaves too little of the bound for the program is served, with a warning that says what to do.
    @Test func doubt() throws {
        func doubt(_ bound: Int, _ memory: Int) -> String? {
            MemoryBound(bytes: bound << 20, owner: "the group allows").doubt(about: memory << 20, "\(memory)M")
        }
        #expect(doubt(64, 49) == nil)
        #expect(
            doubt(64, 50) == "memory=50M: leaves 14M of the 64M that the group allows; the server takes about 15M and "
                + "buffers for requests beside it, so it may be slow or be killed; choose less, or raise the limit")
    }
}
