import CLinux
import Glibc
import SystemPackage

/// A directory in which images are looked up while a server serves.
///
/// It is opened once, while the process has its privileges and before it changes its own directory. From then on the
/// descriptor stands for the directory, even if that is renamed. What is in it is opened with the privileges of that
/// moment.
///
/// **Names.** An image's name is the name of an entry of the directory: no path. A symbolic link is followed if it
/// leads to something below the directory. The kernel checks that while it follows (openat2), so that nobody can
/// exchange a link between a check and its use.
///
/// Thread rules: any thread, any time. One thread at a time lists names.
public final class ImageDirectory: @unchecked Sendable {
    /// The path as it was typed.
    public let path: FilePath
    private let descriptor: OwnedDescriptor
    /// The descriptor's number, for the one thread that lists: the position in the directory belongs to the descriptor.
    private let listing: Guarded<Int32>

    /// Opens a directory whose entries are images, and checks that it can be listed and searched.
    public convenience init(_ path: FilePath) throws(ImageError) {
        self.init(path, try Self.opened(path))
    }

    private static func opened(_ path: FilePath) throws(ImageError) -> OwnedDescriptor {
        do throws(Errno) {
            let descriptor = try Linux.opened { path.withPlatformString { linux_open_readable_directory($0) } }
            // Also finds out whether the kernel has openat2.
            let number = descriptor.number
            _ = try Linux.opened { linux_look_at(number, ".", LINUX_BENEATH) }
            return descriptor
        } catch {
            throw ImageError(path, Self.problem(error))
        }
    }

    /// The directory in which the process is, for paths that are relative to it.
    public static func ofProcess() throws(ImageError) -> ImageDirectory {
        do throws(Errno) {
            return ImageDirectory(".", try Linux.opened { linux_open_directory(".") })
        } catch {
            throw ImageError(".", Self.problem(error))
        }
    }

    private init(_ path: FilePath, _ descriptor: consuming OwnedDescriptor) {
        self.path = path
        listing = Guarded(descriptor.number)
        self.descriptor = descriptor
    }

    /// The number of the descriptor that it keeps open.
    public var number: Int32 { descriptor.number }

    private static func problem(_ errno: Errno) -> ImageError.Problem {
        switch errno {
        case .noSuchFileOrDirectory: .missingDirectory
        case .notDirectory: .noDirectory
        case .permissionDenied: .unreadableDirectory
        case .noFunction: .noSafeLookup
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .tooManyFiles(errno)
        default: .failed("opening the directory", errno)
        }
    }

    // MARK: - Places

    /// The maximum length of an entry's name, bytes: NAME_MAX.
    private static let maxNameLength = 255

    /// The place of the entry `name`.
    /// - Throws: An error if that cannot be the name of an entry.
    public func place(named name: String) throws(ImageError) -> ImagePlace {
        let isName =
            name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != 0 } && !["", ".", ".."].contains(name)
            && name.utf8.count <= Self.maxNameLength
        guard isName else { throw ImageError(path, .noName) }
        return ImagePlace(path.appending(name), lookup: FilePath(name), in: self, isBeneath: true)
    }

    /// The place of a path that begins in this directory, or of an absolute one.
    public func place(at path: FilePath) -> ImagePlace {
        ImagePlace(path, lookup: path, in: self, isBeneath: false)
    }

    // MARK: - Names

    /// The names of all entries that are regular files or block devices and can be read now, in the order of their
    /// bytes. (nbdinfo gives up a list at the first export that is refused.) Left out are names that are no UTF-8,
    /// which NBD demands. O(entries), with a few system calls for each.
    public func names() throws(ImageError) -> [String] {
        try listing.withLock { (number) throws(ImageError) in try entries(number) }.filter(isImage).sorted {
            $0.utf8.lexicographicallyPrecedes($1.utf8)
        }
    }

    private func isImage(_ name: String) -> Bool {
        guard let place = try? place(named: name), let kind = try? place.status().kind,
            kind == LINUX_REGULAR || kind == LINUX_BLOCK_DEVICE
        else { return false }
        return (try? place.open(writable: false, direct: false)) != nil
    }

    private func entries(_ number: Int32) throws(ImageError) -> [String] {
        // A copy that programs do not inherit.
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0, let stream = fdopendir(copy) else {
            let failure = Errno(rawValue: errno)
            if copy >= 0 { close(copy) }
            throw ImageError(path, Self.problem(failure))
        }
        defer { closedir(stream) }
        rewinddir(stream)
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw ImageError(path, .failed("listing", Errno(rawValue: errno))) }
                return names
            }
            if let name = Self.name(of: entry), ![".", ".."].contains(name) { names.append(name) }
        }
    }

    private static func name(of entry: UnsafeMutablePointer<dirent>) -> String? {
        let length = MemoryLayout.size(ofValue: entry.pointee.d_name)
        return withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: length) { String(validatingCString: $0) }
        }
    }
}
