import CLinux
import Glibc
import Synchronization
import SystemPackage

/// The name that an image was opened by, and whether it still leads there.
///
/// An image can be deleted, or replaced by another file, which is how editors and `mv` write. It is still served from
/// its descriptors, and a flush of it succeeds. But nobody will find that data once the server has ended.
///
///     named ── look: no name, or another file's ──▶ lost (told once) ── look: named ──▶ named
///
/// An absolute path is followed anew at each look. Of a relative one only the last component is, in the directory that
/// held it when the image was opened. A place in an `ImageDirectory` is followed anew from there. It looks at most once
/// a second. Between looks a call costs one reading of a clock. Thread rules: any thread, any time.
final class ImageName: Sendable {
    /// How the name was lost.
    enum Loss: Equatable, Sendable {
        case deleted
        case moved
        case replaced

        /// What a person reads: what has happened, what follows, and the way out.
        /// - Parameter isLate: The name is looked up for each client that comes when the image has none.
        func text(isLate: Bool) -> String {
            switch self {
            case .deleted:
                "the image has been deleted; what clients write is gone when "
                    + "\(isLate ? "the last of them leaves" : "the server ends"); copy the export while it is served"
            case .moved:
                "the image has been moved or renamed; clients still read and write it"
                    + (isLate ? "" : "; restart the server with its new name")
            case .replaced:
                "another file has this name now; clients still read and write the image that was opened; "
                    + (isLate
                        ? "new clients get the other file; copy the image through a client that is connected"
                        : "copy the export while it is served, or restart the server to serve the new file")
            }
        }
    }

    private let path: FilePath
    /// The directory in which a relative path begins; -1 if that is not known.
    private let directoryNumber: Int32
    private let parent: OwnedDescriptor?
    private let directory: ImageDirectory?
    private let descriptor: Int32
    private let file: linux_file
    private let interval: Int
    private let nextLook = Atomic<Int>(0)
    private let isLost = Atomic<Bool>(false)

    /// - Parameter descriptor: The image that `path` has just led to. Open for as long as this lives; not owned.
    /// - Parameter interval: Milliseconds from one look to the next.
    init(_ place: ImagePlace, _ file: linux_file, descriptor: Int32, interval: Int = 1000) {
        let path = place.lookup
        directory = place.directory
        if let directory {
            parent = nil
            directoryNumber = directory.number
            self.path = path
        } else {
            let parent = path.isRelative ? Self.parent(of: path) : nil
            directoryNumber = Self.number(of: parent)
            self.parent = parent
            self.path = path.isRelative ? FilePath(root: nil, path.components.suffix(1)) : path
        }
        self.descriptor = descriptor
        self.file = file
        self.interval = interval
    }

    private static func parent(of path: FilePath) -> OwnedDescriptor? {
        let parent = path.removingLastComponent()
        return try? Linux.opened { (parent.isEmpty ? "." : parent).withPlatformString { linux_open_directory($0) } }
    }

    private static func number(of descriptor: borrowing OwnedDescriptor?) -> Int32 {
        switch descriptor {
        case .some(let descriptor): descriptor.number
        case .none: -1
        }
    }

    /// Checks whether the name is still the image's, unless somebody has checked within the last second.
    /// - Returns: How it was lost; once only, until it has been found well in between.
    func news() -> Loss? {
        guard file.kind == LINUX_REGULAR, isTimeToLook else { return nil }
        let loss = look()
        return isLost.exchange(loss != nil, ordering: .relaxed) ? nil : loss
    }

    private var isTimeToLook: Bool {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        let now = time.tv_sec * 1000 + time.tv_nsec / 1_000_000
        let due = nextLook.load(ordering: .relaxed)
        guard now >= due else { return false }
        return nextLook.compareExchange(expected: due, desired: now + interval, ordering: .relaxed).exchanged
    }

    /// What cannot be found out, for lack of permission for example, is no loss.
    private func look() -> Loss? {
        if linux_link_count(descriptor) == 0 { return .deleted }
        guard directoryNumber >= 0 || path.isAbsolute else { return nil }
        var found = linux_file()
        let answer = path.withPlatformString { linux_stat_at(directoryNumber, $0, &found) }
        if [-ENOENT, -ENOTDIR, -ELOOP].contains(answer) { return .moved }
        guard answer == 0 else { return nil }
        return found.device == file.device && found.inode == file.inode ? nil : .replaced
    }
}
