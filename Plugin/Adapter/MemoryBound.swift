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

    /// What a server takes beside memory=, bytes: its program, stacks, and tables of the kernel, but no buffers for
    /// requests. In a control group that leaves less, the kernel takes away pages of the program that are in use, and
    /// reads them again. In groups of 64 MiB, servers with 10 MiB beside memory= did so 5 to 787 times in 30,000
    /// requests, and once 1765 times with 9 (`Scripts/bench traces --limits 64 --requests 30000`). With buffers as
    /// well, the kernel kills the server: with 12 MiB, a copy of 160 MiB over four connections was enough (nbdcopy).
    static let beside = 15 << 20

    /// Why a server with `memory` bytes, called `text`, may be slow or be killed in this bound; nil if there is room.
    func doubt(about memory: Int, _ text: String) -> String? {
        guard bytes - memory < MemoryBound.beside else { return nil }
        let (left, beside) = (ByteCount.roughly(bytes - memory), ByteCount.roughly(MemoryBound.beside))
        return "memory=\(text): leaves \(left) of the \(ByteCount.roughly(bytes)) that \(owner); the server takes "
            + "about \(beside) and buffers for requests beside it, so it may be slow or be killed; choose less, or "
            + "raise the limit"
    }

    /// The tightest bound that a control group sets; nil if none does. `root` is "/" except in tests.
    static func ofGroups(root: FilePath = "/") -> MemoryBound? {
        ControlGroups(root: root).memoryBounds().min { $0.bytes < $1.bytes }
    }

    /// The tightest of this process's bounds.
    /// - Parameter group: What `ofGroups` has found. It reads several files.
    static func tightest(group: MemoryBound?, root: FilePath = "/") -> MemoryBound? {
        [machine(root: root), group].compactMap(\.self).min { $0.bytes < $1.bytes }
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
