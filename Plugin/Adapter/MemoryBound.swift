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

    /// What a server takes beside memory=, in bytes, at the least: its program, stacks and tables of the kernel. With
    /// less, the kernel takes pages of the program away that are needed at once, and reads them again. With 9 and 10
    /// MiB, runs of the benchmark of traces did so 390 to 1765 times in 30,000 requests, with 12 MiB 6 to 34 times.
    static let leastBeside = 12 << 20

    /// Why a server with `memory` bytes, called `text`, will be slow in this bound; nil if it will not be.
    func doubt(about memory: Int, _ text: String) -> String? {
        guard bytes - memory < MemoryBound.leastBeside else { return nil }
        let beside = ByteCount.roughly(MemoryBound.leastBeside)
        let most = max(bytes - MemoryBound.leastBeside, 0)
        let advice = most >> 20 > 0 ? "expected at most \(ByteCount.roughly(most))" : "raise that limit"
        return "memory=\(text): leaves less than \(beside) of the \(ByteCount.roughly(bytes)) that \(owner), so the "
            + "kernel may have to read the program's own pages again and again, which is slow; \(advice)"
    }

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
