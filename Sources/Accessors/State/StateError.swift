import Glibc
import Paging
import SystemPackage

/// Why a state file cannot be used: which file, what is wrong, and a sentence for a person.
public struct StateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Problem: Error, Equatable, Sendable {
        case missing
        /// It is on a filesystem that is not memory.
        case onDisk(String)
        case symbolicLink
        case notRegular
        /// It belongs to the user with this number.
        case foreign(UInt32)
        /// Others may read or write it: its permissions.
        case open(UInt32)
        /// It has several names.
        case linked(UInt64)
        /// Another process has it, if it is known which one.
        case held(by: Int32?)
        /// There is not enough memory for it: bytes needed, and bytes that there are.
        case noRoom(needed: Int, available: Int64)
        /// What another server has left in it cannot be read.
        case damaged(KeptDamage)
        /// Locks cannot be seen here, so nobody could know when the kernel has finished a dead server's I/O.
        case unseenLocks(Errno)
        /// Another call failed: what was tried.
        case failed(String, Errno)
    }

    public let path: FilePath
    public let problem: Problem

    init(_ path: FilePath, _ problem: Problem) {
        self.path = path
        self.problem = problem
    }

    /// One sentence: the path, what is wrong, and the way out.
    public var description: String { "\(path.string.withoutControls): \(explanation)" }

    private var explanation: String {
        switch problem {
        case .missing:
            "there is no such state file; name the file that state= named"
        case .onDisk(let filesystem):
            "a state file must lie in memory, and this is \(filesystem); name a file on a tmpfs, such as /run or "
                + "/dev/shm, or on hugetlbfs"
        case .symbolicLink:
            "it is a symbolic link, which is not followed; name the file itself"
        case .notRegular:
            "it is not a regular file; name a file that is there for the state alone, or does not exist yet"
        case .foreign(let owner):
            "it belongs to another user (\(owner)); run as that user, or name another file"
        case .open(let permissions):
            "others may reach it (mode \(String(permissions, radix: 8))), and it holds the contents of images; "
                + "chmod 600 it, or name another file"
        case .linked(let names):
            "it has \(names) names; remove the other ones, or name another file"
        case .held(let process):
            "another server\(process.map { " (process \($0))" } ?? "") has it; end that server, or name another file"
        case .noRoom(let needed, let available):
            "it needs \(needed) bytes of memory and its filesystem has \(available); use a smaller memory=, or mount "
                + "the filesystem with a larger size"
        case .damaged(let damage):
            "\(damage.text); \(StateError.wayOut(of: damage, path))"
        case .unseenLocks(let errno):
            "the locks that state= needs cannot be seen in /proc/locks (\(errno)); mount /proc, or serve without state="
        case .failed(let call, let errno):
            "\(call) failed (\(errno)); a state file is a regular file on a tmpfs that this user can write"
        }
    }

    private static func wayOut(of damage: KeptDamage, _ path: FilePath) -> String {
        let command = "flexpage state \(path.string.withoutControls)"
        switch damage {
        case .noState: return "name another file"
        case .otherVersion: return "bring what it owes to the images with that release's `\(command) --write-out`"
        default: return "`\(command) --discard` removes it, with the writes in it that are on no image"
        }
    }
}
