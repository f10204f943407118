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

    /// What a server in a control group takes beside memory=, bytes, at the least: its program, stacks, and tables of
    /// the kernel. With less, the kernel takes away pages of the program that are in use, and reads them again. In
    /// groups of 64 MiB, servers with 10 MiB beside memory= did so 5 to 787 times in 30,000 requests, and once 1765
    /// times with 9. With 12 they did so up to 34 times (`Scripts/bench traces --limits 64 --requests 30000`).
    static let leastBeside = 12 << 20

    /// Why a server with `memory` bytes, called `text`, may be slow in this bound; nil if that is not to be expected.
    /// - Parameter minMemory: The minimum of memory=, bytes.
    func doubt(about memory: Int, _ text: String, minMemory: Int) -> String? {
        guard bytes - memory < MemoryBound.leastBeside else { return nil }
        let best = bytes - MemoryBound.leastBeside
        let advice = best < minMemory ? "raise that limit" : "better at most \(ByteCount.roughly(best))"
        return "memory=\(text): leaves less than \(ByteCount.roughly(MemoryBound.leastBeside)) of the "
            + "\(ByteCount.roughly(bytes)) that \(owner); the server may be slow, because the kernel reads its program "
            + "again and again; \(advice)"
    }

    /// The tightest bound that a control group sets; nil if none does.
    static func ofGroups(root: FilePath = "/") -> MemoryBound? {
        ControlGroups(root: root).memoryBounds().min { $0.bytes < $1.bytes }
    }

    /// The tightest of this process's bounds. `root` is "/" except in tests.
    static func tightest(root: FilePath = "/") -> MemoryBound? {
        [machine(root: root), ofGroups(root: root)].compactMap(\.self).min { $0.bytes < $1.bytes }
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
