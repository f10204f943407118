import Paging
import SystemPackage

/// Why an image cannot be opened or written: which image, what is wrong, and a sentence for a person.
///
/// Made when an image is opened and when a client comes, never while data moves: it may allocate.
public struct ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Problem: Error, Equatable, Sendable {
        /// Nothing has that name.
        case missing
        /// The user lacks permission to read it, or to reach it.
        case unreadable
        case directory
        /// Something else that holds no image: "a FIFO", "a character device", ….
        case special(String)
        /// O_DIRECT was required, and refused.
        case noDirect(Errno)
        /// It cannot be opened for writing.
        case readOnly(Errno)
        /// Another process has it locked.
        case locked
        /// Its filesystem has no locks.
        case unlockable(Errno)
        /// A block device that is mounted, or that another process or the kernel holds.
        case held
        /// A block device that cannot be claimed with the privileges that remain.
        case unclaimable(Errno)
        /// A symbolic link that leads out of the directory of images.
        case outside
        /// Something that cannot be the name of a file in the directory of images.
        case noName
        /// Its name has come to lead to another file while it was being opened.
        case replaced
        /// Another program has a lease on it, and has not given it up in time.
        case leased
        /// No descriptor is left: EMFILE or ENFILE.
        case tooManyFiles(Errno)
        /// No directory of images has that path.
        case missingDirectory
        /// What has that path is no directory.
        case noDirectory
        /// The user lacks permission to list the directory of images, or to reach it.
        case unreadableDirectory
        /// The kernel has no openat2, and so no safe way to look up names.
        case noSafeLookup
        /// `state=`: another program has it locked from its first byte to beyond its last.
        case lockedWhole
        /// `state=`: its filesystem has no locks.
        case unmarkable(Errno)
        /// `state=`: its filesystem lets I/O go on when all locks of a dead server are gone.
        case outlivesLocks
        /// `state=`: O_DIRECT was required, and its filesystem lets such I/O go on when all locks are gone.
        case directOutlivesLocks
        /// `state=`: its absolute path is too long to be kept, or is no UTF-8.
        case unkeptPath
        /// `state=`: it has no absolute path.
        case pathless(Errno)
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

    /// What is wrong, and the way out.
    private var explanation: String {
        switch problem {
        case .missing:
            "there is no such file; name an image file or a block device"
        case .unreadable:
            "this user has no permission to read it; change its permissions or run as another user"
        case .directory:
            "it is a directory; name an image file or a block device in it"
        case .special(let what):
            "it is \(what); name an image file or a block device"
        case .noDirect(let errno):
            "direct=on is impossible, because O_DIRECT is refused here (\(errno)); use direct=auto or "
                + "direct=off, or move the image to another filesystem"
        case .readOnly(let errno):
            "it cannot be written (\(errno)); change that, or open the image for reading only"
        case .locked:
            "another process has it locked for writing; end that process, or open the image for reading only"
        case .unlockable(let errno):
            "it cannot be locked against a second writer (\(errno)); use lock=off if there is no second writer"
        case .held:
            "the block device is mounted or held by another process; unmount or release it, "
                + "or open the image for reading only"
        case .unclaimable(let errno):
            "the block device cannot be claimed for writing (\(errno)); let the server's user read it, "
                + "and unmount it before the server starts"
        case .outside:
            "it is a symbolic link that leads out of the directory; only what is in the directory is served"
        case .noName:
            "it has no such entry; an export has the name of a file in it, without a slash"
        case .replaced:
            "another file got its name while it was being opened; connect again"
        case .leased:
            "another program, such as a file server, has a lease on it and does not give it up; connect again later"
        case .tooManyFiles(.tooManyOpenFiles):
            "too many open files; raise ulimit -n"
        case .tooManyFiles(let errno):
            "too many open files on this machine (\(errno)); raise the sysctl fs.file-max"
        case .missingDirectory:
            "there is no such directory; name a directory of image files"
        case .noDirectory:
            "it is no directory; name a directory of image files"
        case .unreadableDirectory:
            "this user has no permission to list it; change its permissions or run as another user"
        case .noSafeLookup:
            "this kernel cannot keep lookups inside a directory (openat2); use Linux 5.6 or newer"
        case .lockedWhole:
            "another program has locked all of it, and state= needs a lock of its own beside that; end that program, "
                + "or serve without state="
        case .unmarkable(let errno):
            "state= needs locks, and its filesystem refuses them (\(errno)); move the image, or serve without state="
        case .outlivesLocks:
            "state= is impossible here, because this filesystem can go on writing when the server is dead and its "
                + "locks are gone; move the image, or serve without state="
        case .directOutlivesLocks:
            "direct=on is impossible with state= here, because this filesystem can go on writing when the server is "
                + "dead and its locks are gone; use direct=auto or direct=off"
        case .unkeptPath:
            "state= keeps paths of at most \(KeptImage.maxPath) bytes of UTF-8, and this one is longer or other; "
                + "move the image, or serve without state="
        case .pathless(let errno):
            "state= needs its absolute path, which cannot be found (\(errno)); mount /proc, or serve without state="
        case .failed(let call, let errno):
            "\(call) failed (\(errno)); an image is a regular file or a block device that can be read"
        }
    }

    /// The errno value with the same meaning, for a client.
    public var code: Int32 {
        switch problem {
        case .missing, .missingDirectory, .noName: Errno.noSuchFileOrDirectory.rawValue
        case .outside: Errno.improperLink.rawValue
        case .replaced: Errno.staleNFSFileHandle.rawValue
        case .noDirectory: Errno.notDirectory.rawValue
        case .noSafeLookup: Errno.noFunction.rawValue
        case .unreadable, .unreadableDirectory: Errno.permissionDenied.rawValue
        case .directory: Errno.isDirectory.rawValue
        case .special: Errno.invalidArgument.rawValue
        case .unkeptPath: Errno.fileNameTooLong.rawValue
        case .outlivesLocks, .directOutlivesLocks: Errno.notSupported.rawValue
        case .locked, .held, .lockedWhole, .leased: Errno.resourceBusy.rawValue
        case .tooManyFiles(let errno), .noDirect(let errno), .readOnly(let errno), .unlockable(let errno),
            .unclaimable(let errno), .unmarkable(let errno), .pathless(let errno), .failed(_, let errno):
            errno.rawValue
        }
    }
}
