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
    public var description: String {
        switch problem {
        case .missing:
            "\(path): there is no such file; name an image file or a block device"
        case .unreadable:
            "\(path): this user has no permission to read it; change its permissions or run as another user"
        case .directory:
            "\(path): it is a directory; name an image file or a block device in it"
        case .special(let what):
            "\(path): it is \(what); name an image file or a block device"
        case .noDirect(let errno):
            "\(path): direct=on is impossible, because O_DIRECT is refused here (\(errno)); use direct=auto or "
                + "direct=off, or move the image to another filesystem"
        case .readOnly(let errno):
            "\(path): it cannot be written (\(errno)); change that, or open the image for reading only"
        case .locked:
            "\(path): another process has it locked for writing; end that process, or open the image for reading only"
        case .unlockable(let errno):
            "\(path): it cannot be locked against a second writer (\(errno)); use lock=off if there is no second writer"
        case .held:
            "\(path): the block device is mounted or held by another process; unmount or release it, "
                + "or open the image for reading only"
        case .unclaimable(let errno):
            "\(path): the block device cannot be claimed for writing (\(errno)); let the server's user read it, "
                + "and unmount it before the server starts"
        case .failed(let call, let errno):
            "\(path): \(call) failed (\(errno)); an image is a regular file or a block device that can be read"
        }
    }

    /// The errno value with the same meaning, for a client.
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
