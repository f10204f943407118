import Glibc

/// Features that tests need and a machine may lack.
package enum Machine {
    package static var isRoot: Bool { geteuid() == 0 }

    /// Whether a file system of `type`, one of memory, can be mounted.
    package static func canMount(_ type: String) -> Bool { isRoot && (try? Mount(type)) != nil }

    /// Whether loop devices are available.
    package static let canLoop = isRoot && (try? LoopDevice(size: 1 << 20)) != nil

    /// Whether an ext4 can be made and mounted.
    package static let canMountExt4 = isRoot && (try? Mount(ext4: 8 << 20)) != nil
}
