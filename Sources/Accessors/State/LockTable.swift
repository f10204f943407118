import CLinux
import SystemPackage

/// The kernel's list of all file locks (/proc/locks).
///
/// A lock of an open file description is listed in every container. Its line names the file by device and inode, but
/// the device is not always the one that stat(2) tells (btrfs). So a lock is recognised by the byte that it starts at.
struct LockTable: Sendable {
    /// One lock of an open file description.
    struct Lock: Equatable {
        let inode: UInt64
        let start: Int64
    }

    /// What `look` found.
    struct Sight {
        var locks: [Lock]
        /// True if the kernel gave the list in one piece. Otherwise a lock may be missing from it: the list can have
        /// moved up between two pieces, because a lock before this one went.
        var isWhole: Bool
    }

    /// The number of looks in a row that must find nothing, if the list comes in several pieces.
    private static let looks = 5

    private let path: FilePath

    init(_ path: FilePath = "/proc/locks") { self.path = path }

    /// The locks that start at `byte`, of any file.
    func locks(startingAt byte: Int64) throws(Errno) -> [Lock] {
        for _ in 0..<LockTable.looks {
            let sight = try look()
            let found = sight.locks.filter { $0.start == byte }
            if sight.isWhole || !found.isEmpty { return found }
        }
        return []
    }

    /// All locks of open file descriptions.
    func look() throws(Errno) -> Sight {
        let file = try Linux.opened { path.withPlatformString { linux_open($0, false, false, false) } }
        var text: [UInt8] = []
        var pieces = 0
        while try readPiece(of: file.raw, into: &text) { pieces += 1 }
        let locks = text.split(separator: UInt8(ascii: "\n")).compactMap { LockTable.lock(in: $0) }
        return Sight(locks: locks, isWhole: pieces <= 1)
    }

    /// - Returns: False at the end.
    private func readPiece(of file: FileDescriptor, into text: inout [UInt8]) throws(Errno) -> Bool {
        do {
            return try withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { buffer in
                let count = try file.read(into: buffer)
                text += buffer.prefix(count)
                return count > 0
            }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }

    /// `1: OFDLCK ADVISORY  READ -1 fe:00:1234 4611686018427387904 4611686018427387904`; the last number may be EOF.
    private static func lock(in line: ArraySlice<UInt8>) -> Lock? {
        let words = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
        guard words.count >= 5, words.contains("OFDLCK"), let start = Int64(words[words.count - 2]),
            let inode = words[words.count - 3].split(separator: ":").last.flatMap({ UInt64($0) })
        else { return nil }
        return Lock(inode: inode, start: start)
    }
}
