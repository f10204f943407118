import Glibc

/// A file system, of memory or of a device, mounted in a directory of its own for as long as this is held.
package final class Mount {
    /// A directory in it; if it is read-only, the directory that it is mounted on.
    package let scratch: Scratch
    private let parent: Scratch
    /// The device that it is on, if that was made for it.
    package let device: LoopDevice?

    package convenience init(
        _ type: String, options: String = "mode=755", device: String? = nil, isReadOnly: Bool = false
    ) throws {
        try self.init(type, options, on: device, made: nil, isReadOnly: isReadOnly)
    }

    /// An ext4 of `size` bytes, on a device of its own.
    /// - Parameter making: Options of mkfs.ext4.
    package convenience init(ext4 size: Int, making: [String] = ["-b", "4096"]) throws {
        let device = try LoopDevice(size: size)
        let made = try Subprocess.run(
            ["mkfs.ext4", "-q"] + making + ["-O", "^has_journal", "-m", "0", device.path])
        guard made.status == 0 else { throw Trouble("mkfs.ext4: \(made.output)") }
        try self.init("ext4", "", on: device.path, made: device, isReadOnly: false)
    }

    private init(_ type: String, _ options: String, on device: String?, made: LoopDevice?, isReadOnly: Bool) throws {
        self.device = made
        parent = Scratch()
        let flags = isReadOnly ? UInt(MS_RDONLY) : 0
        guard mount(device ?? type, parent.directory, type, flags, options) == 0 else {
            throw Trouble("mount \(type): \(String(cString: strerror(errno)))")
        }
        scratch = isReadOnly ? parent : try Scratch(in: parent.directory)
    }

    /// The directory that it is mounted on.
    package var directory: String { parent.directory }

    /// Makes it read-only.
    package func protect() throws {
        guard mount(nil, parent.directory, nil, UInt(MS_REMOUNT) | UInt(MS_RDONLY), nil) == 0 else {
            throw Trouble("remount read-only: \(String(cString: strerror(errno)))")
        }
    }

    /// Unmounts it at once, with an error if it is in use. The files in it are then out of sight.
    package func end() throws {
        guard umount2(parent.directory, 0) == 0 else {
            throw Trouble("umount \(parent.directory): \(String(cString: strerror(errno)))")
        }
    }

    /// Lazily, because a test beside this one that starts a program may hold our descriptors for a moment.
    deinit {
        umount2(parent.directory, Int32(MNT_DETACH))
    }
}
