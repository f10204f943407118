import Glibc

/// A file system, mounted in a directory of its own for as long as it is held: of memory, or of a device.
final class Mount {
    /// A directory in it; where it is read-only, the directory that it is mounted on.
    let scratch: Scratch
    private let parent: Scratch

    init(_ type: String, options: String = "mode=755", device: String? = nil, isReadOnly: Bool = false) throws {
        parent = try Scratch()
        let flags = isReadOnly ? UInt(MS_RDONLY) : 0
        guard mount(device ?? type, parent.directory, type, flags, options) == 0 else {
            throw Trouble("mount \(type): \(String(cString: strerror(errno)))")
        }
        scratch = isReadOnly ? parent : try Scratch(in: parent.directory)
    }

    /// Where it is mounted.
    var directory: String { parent.directory }

    /// Makes it read-only.
    func protect() throws {
        guard mount(nil, parent.directory, nil, UInt(MS_REMOUNT) | UInt(MS_RDONLY), nil) == 0 else {
            throw Trouble("remount read-only: \(String(cString: strerror(errno)))")
        }
    }

    /// Unmounts it at once, with an error where it is in use; the files in it are then out of sight.
    func end() throws {
        guard umount2(parent.directory, 0) == 0 else {
            throw Trouble("umount \(parent.directory): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        umount2(parent.directory, Int32(MNT_DETACH))
    }
}
