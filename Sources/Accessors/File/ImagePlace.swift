import CLinux
import Glibc
import SystemPackage

/// Where an image is looked up when it is opened, and what it is called in messages.
///
/// | made by                       | looked up                                                                   |
/// |-------------------------------|-----------------------------------------------------------------------------|
/// | `init(_:)`                    | as a path, from the directory in which the process is                       |
/// | `ImageDirectory.place(at:)`   | as a path, from that directory, wherever the process is by now              |
/// | `ImageDirectory.place(named:)`| as a name in that directory; nothing outside it is reached                  |
///
/// A name is looked up anew for each descriptor, and may lead to another file each time. So whatever opens an image
/// judges by the descriptor that it got (fstat).
public struct ImagePlace: Sendable {
    /// The path for messages. A place in a directory has that directory's path as the beginning.
    public let path: FilePath
    /// What the kernel gets.
    let lookup: FilePath
    let directory: ImageDirectory?
    private let isBeneath: Bool

    /// A place that is looked up by path, from the directory in which the process is.
    public init(_ path: FilePath) {
        (self.path, lookup) = (path, path)
        (directory, isBeneath) = (nil, false)
    }

    init(_ path: FilePath, lookup: FilePath, in directory: ImageDirectory, isBeneath: Bool) {
        (self.path, self.lookup) = (path, lookup)
        (self.directory, self.isBeneath) = (directory, isBeneath)
    }

    /// True if it is looked up while the server serves: with the privileges that the process keeps, and among files
    /// that others may exchange meanwhile.
    var isLate: Bool { directory != nil }

    /// Opens what is there.
    func open(writable: Bool, direct: Bool) throws(Errno) -> OwnedDescriptor {
        guard let directory else {
            return try Linux.opened { lookup.withPlatformString { linux_open($0, writable, direct, false) } }
        }
        let number = directory.number
        return try opened { linux_open_at(number, $0, $1, writable, direct) }
    }

    /// Looks at what is there, without opening it.
    func status() throws(Errno) -> linux_file {
        var file = linux_file()
        guard let directory else {
            _ = try Linux.checked(lookup.withPlatformString { linux_stat($0, &file) })
            return file
        }
        let number = directory.number
        let descriptor = try opened { linux_look_at(number, $0, $1) }
        _ = try Linux.checked(linux_fstat(descriptor.number, &file))
        return file
    }

    /// The maximum number of attempts at a lookup that a rename elsewhere disturbs, and of those after them, with a
    /// pause before each, if another program has a lease on the file. The kernel has asked for it; a program that lives
    /// gives it up soon.
    private static let maxAttempts = (atOnce: 64, later: 100)
    private static let pauseMicroseconds: UInt32 = 10_000

    private func opened(
        _ open: (UnsafePointer<CChar>, linux_lookup) -> Int32
    ) throws(Errno) -> OwnedDescriptor {
        let rule = isBeneath ? LINUX_BENEATH : LINUX_ANYWHERE
        let atOnce = isBeneath ? Self.maxAttempts.atOnce : 1
        for attempt in 1..<atOnce + Self.maxAttempts.later {
            do throws(Errno) {
                return try Linux.opened { lookup.withPlatformString { open($0, rule) } }
            } catch {
                guard error == .resourceTemporarilyUnavailable else { throw error }
            }
            if attempt >= atOnce { usleep(Self.pauseMicroseconds) }
        }
        return try Linux.opened { lookup.withPlatformString { open($0, rule) } }
    }
}
