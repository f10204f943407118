import CLinux
import Glibc
import SystemPackage

/// The descriptor of a state file, which has been checked and locked, and what was found out meanwhile.
///
/// Everything is judged by the descriptor: the name may lead to another file a moment later. So the name is looked at
/// again once the lock is taken, and if it leads elsewhere by then, all begins anew.
struct OpenedState: ~Copyable {
    private typealias Problem = StateError.Problem

    let descriptor: OwnedDescriptor
    /// The file has just been made.
    let isNew: Bool
    /// Bytes of the pages that its memory comes in.
    let unit: Int
    /// When the server before may still have been there, while its lock was waited for; 0 if it was not.
    let lastSign: UInt64

    private static let maxAttempts = 64

    /// - Parameter create: Make the file if there is none.
    /// - Parameter log: Hears once a second what is being waited for.
    init(_ path: FilePath, create: Bool, log: (String) -> Void) throws(StateError.Problem) {
        for _ in 0..<OpenedState.maxAttempts {
            var isNew = false
            let descriptor = try OpenedState.opened(path, create: create, &isNew)
            let unit: Int
            do throws(StateError.Problem) {
                unit = try OpenedState.unit(of: descriptor)
                try OpenedState.check(descriptor)
            } catch {
                if isNew { unlink(path.string) }
                throw error
            }
            var wait = LockWait(descriptor.number)
            try wait.lock(log)
            guard OpenedState.leads(path, to: descriptor) else { continue }
            self.descriptor = descriptor
            self.isNew = isNew
            self.unit = unit
            lastSign = wait.lastSign
            return
        }
        throw .failed("opening", .staleNFSFileHandle)
    }

    private static func opened(
        _ path: FilePath, create: Bool, _ isNew: inout Bool
    ) throws(StateError.Problem) -> OwnedDescriptor {
        while true {
            try checkKind(path)
            do throws(Errno) {
                isNew = false
                return try Linux.opened { path.withPlatformString { linux_open_private($0, false) } }
            } catch {
                guard error == .noSuchFileOrDirectory else { throw problem(error) }
            }
            guard create else { throw .missing }
            do throws(Errno) {
                isNew = true
                return try Linux.opened { path.withPlatformString { linux_open_private($0, true) } }
            } catch {
                // Another process has just made it.
                guard error == .fileExists else { throw problem(error) }
            }
        }
    }

    /// Opening a device can do things, so this looks at it before.
    private static func checkKind(_ path: FilePath) throws(StateError.Problem) {
        var found = stat()
        guard lstat(path.string, &found) == 0 else { return }
        switch found.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFLNK: throw .symbolicLink
        default: throw .notRegular
        }
    }

    private static func problem(_ errno: Errno) -> StateError.Problem {
        switch errno {
        case .tooManySymbolicLinkLevels: .symbolicLink
        case .isDirectory: .notRegular
        default: .failed("opening", errno)
        }
    }

    /// Bytes of the pages of its filesystem, which is one of memory.
    private static func unit(of descriptor: borrowing OwnedDescriptor) throws(StateError.Problem) -> Int {
        var filesystem = linux_filesystem()
        let answer = linux_filesystem(descriptor.number, &filesystem)
        guard answer == 0 else { throw .failed("statfs", Errno(rawValue: -answer)) }
        if filesystem.is_hugetlbfs { return Int(filesystem.block_size) }
        guard filesystem.is_tmpfs else { throw .onDisk(name(ofFilesystem: filesystem.magic)) }
        return Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func name(ofFilesystem magic: UInt32) -> String {
        let names: [UInt32: String] = [
            0xEF53: "ext4", 0x5846_5342: "xfs", 0x9123_683E: "btrfs", 0xF2F5_2010: "f2fs", 0x794C_7630: "overlayfs",
            0x6969: "NFS", 0x0102_1997: "9p", 0x6573_5546: "FUSE", 0x8584_58F6: "ramfs", 0x2FC1_2FC1: "zfs",
        ]
        return names[magic] ?? "a filesystem of type 0x\(String(magic, radix: 16))"
    }

    private static func check(_ descriptor: borrowing OwnedDescriptor) throws(StateError.Problem) {
        var file = linux_file()
        let answer = linux_fstat(descriptor.number, &file)
        guard answer == 0 else { throw .failed("fstat", Errno(rawValue: -answer)) }
        guard file.kind == LINUX_REGULAR else { throw .notRegular }
        guard file.owner == geteuid() else { throw .foreign(file.owner) }
        guard file.permissions & 0o077 == 0 else { throw .open(file.permissions) }
        // None if it has just been removed: the name does not lead here any more.
        guard file.links <= 1 else { throw .linked(file.links) }
    }

    private static func leads(_ path: FilePath, to descriptor: borrowing OwnedDescriptor) -> Bool {
        var (named, opened) = (linux_file(), linux_file())
        return path.withPlatformString { linux_stat($0, &named) } == 0 && linux_fstat(descriptor.number, &opened) == 0
            && named.device == opened.device && named.inode == opened.inode
    }
}
