import SystemPackage

/// A filesystem of a test's own, mounted while it lives.
final class Mount {
    let directory: Scratch
    private let device: LoopDevice?

    static let hasRamfs = (try? Mount(memory: "ramfs")) != nil
    static let hasTmpfs = (try? Mount(memory: "tmpfs", options: "size=1m")) != nil
    static let hasExt4 = (try? Mount(ext4: 8 << 20)) != nil

    /// A filesystem in memory: tmpfs, ramfs.
    init(memory type: String, options: String = "mode=755") throws {
        device = nil
        directory = Scratch()
        try Self.check(shell("mount -t \(type) -o \(options) \(type) '\(directory.path)'"))
    }

    /// An ext4 of `size` bytes.
    init(ext4 size: Int64, options: String = "-b 4096 -O ^has_journal -m 0") throws {
        let device = try LoopDevice(size: size)
        self.device = device
        directory = Scratch()
        try Self.check(shell("mkfs.ext4 -q \(options) '\(device.path)'"))
        try Self.check(shell("mount '\(device.path)' '\(directory.path)'"))
    }

    private static func check(_ result: (status: Int32, output: String)) throws {
        if result.status != 0 { throw LoopDevice.Unavailable(output: result.output) }
    }

    var devicePath: FilePath? { device?.path }

    /// Lazily, as a test beside this one that starts a program may hold our descriptors for a moment.
    deinit { shell("umount --lazy '\(directory.path)'") }
}
