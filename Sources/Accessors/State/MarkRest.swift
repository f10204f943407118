import Glibc
import SystemPackage

/// What is left of the marks of a dead server, and for how long that has been waited for.
struct MarkRest {
    private let mark: ServerMark
    private let table: LockTable
    private let begin = MonotonicTime.now
    private var told = 0

    init(_ mark: ServerMark, _ table: LockTable = LockTable()) {
        self.mark = mark
        self.table = table
    }

    /// The inodes of files that have the mark; nil if there are none.
    func files() throws(Errno) -> Set<UInt64>? {
        guard mark.server != 0 else { return nil }
        let locks = try table.locks(startingAt: mark.byte)
        return locks.isEmpty ? nil : Set(locks.map { $0.inode })
    }

    /// Whole seconds since the waiting began, once for each second.
    var secondsIfNew: Int? {
        mutating get {
            let seconds = (MonotonicTime.now - begin) / 1000
            guard seconds > told else { return nil }
            told = seconds
            return seconds
        }
    }

    /// What a person is told meanwhile.
    static func line(for paths: [String], seconds: Int) -> String {
        let what = paths.isEmpty ? "an image" : paths.joined(separator: ", ")
        return "the kernel has not finished what the last server read and wrote of \(what); waiting for \(seconds) s"
    }
}
