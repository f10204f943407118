import SystemPackage

/// Why an image cannot be opened or cannot be written: which image, what is wrong, and a sentence for a person.
///
/// Made when opening and when a client comes, never while data moves: it may allocate.
public struct ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Problem: Error, Equatable, Sendable {
        /// There is nothing by that name.
        case missing
        /// Permission to read it (or to reach it) is lacking.
        case unreadable
        case directory
        /// It is something else that holds no image: "a FIFO", "a character device", ….
        case special(String)
        /// O_DIRECT was insisted on and refused.
        case noDirect(Errno)
        /// It cannot be opened for writing.
        case readOnly(Errno)
        /// Another process has it locked.
        case locked
        /// Its filesystem has no locks.
        case unlockable(Errno)
        /// A block device that is mounted, or that another process or the kernel holds.
        case held
        /// A block device that cannot be claimed with the privileges that are left.
        case unclaimable(Errno)
        /// A call failed otherwise: what was tried.
        case failed(String, Errno)
    }

    public let path: FilePath
    public let problem: Problem

    init(_ path: FilePath, _ problem: Problem) {
        self.path = path
        self.problem = problem
    }

    /// One sentence: the path, what is wrong, and the way out.
    public var description: String {
        switch problem {
        case .missing:
            "\(path): there is no such file; name an image file or a block device"
        case .unreadable:
            "\(path): it may not be read by this user; change its permissions or run as a user who may"
        case .directory:
            "\(path): it is a directory; name an image file or a block device in it"
        case .special(let what):
            "\(path): it is \(what); name an image file or a block device"
        case .noDirect(let errno):
            "\(path): direct=on cannot be had, as O_DIRECT is refused here (\(errno)); use direct=auto or direct=off, "
                + "or move the image to another filesystem"
        case .readOnly(let errno):
            "\(path): it cannot be written (\(errno)); change that, or open it for reading only"
        case .locked:
            "\(path): another process has it locked for writing; end that one, or open it for reading only"
        case .unlockable(let errno):
            "\(path): it cannot be locked against a second writer (\(errno)); use lock=off if there is none"
        case .held:
            "\(path): the block device is mounted or held by another; unmount or release it, or open it for reading only"
        case .unclaimable(let errno):
            "\(path): the block device cannot be claimed for writing (\(errno)); let the user that the server runs as "
                + "read it, and have it unmounted when the server starts"
        case .failed(let call, let errno):
            "\(path): \(call) failed (\(errno)); an image is a regular file or a block device that can be read"
        }
    }

    /// The errno value that tells a client the same.
    public var code: Int32 {
        switch problem {
        case .missing: Errno.noSuchFileOrDirectory.rawValue
        case .unreadable: Errno.permissionDenied.rawValue
        case .directory: Errno.isDirectory.rawValue
        case .special: Errno.invalidArgument.rawValue
        case .locked, .held: Errno.resourceBusy.rawValue
        case .noDirect(let errno), .readOnly(let errno), .unlockable(let errno), .unclaimable(let errno),
            .failed(_, let errno):
            errno.rawValue
        }
    }
}
