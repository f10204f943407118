import CLinux
import SystemPackage

/// What the kernel tells of a block device in sysfs. Read when an image is opened. The answer is "no" if the kernel
/// does not tell, as for the anonymous devices of btrfs, overlayfs and network filesystems.
struct DeviceProperties: Equatable, Sendable {
    /// True if seeking costs time: a spinning disk.
    let isRotational: Bool
    /// True if the device writes zeroes itself, rather than having them sent.
    let offloadsZeroes: Bool

    /// - Parameter device: The number of the device or of a partition of it.
    init(of device: UInt64) {
        isRotational = Self.queueValue("rotational", of: device) == 1
        offloadsZeroes = (Self.queueValue("write_zeroes_max_bytes", of: device) ?? 0) > 0
    }

    private static func queueValue(_ name: String, of device: UInt64) -> UInt64? {
        let place = "/sys/dev/block/\(linux_major(device)):\(linux_minor(device))"
        // A partition has the queue of its disk, and the disk is the directory around it.
        return number(in: "\(place)/queue/\(name)") ?? number(in: "\(place)/../queue/\(name)")
    }

    /// The decimal number that a file begins with.
    private static func number(in path: String) -> UInt64? {
        guard let file = try? Linux.opened({ linux_open(path, false, false, false) }) else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { buffer -> UInt64? in
            guard let count = try? file.raw.read(into: buffer) else { return nil }
            let digits = buffer.prefix(count).prefix { (0x30...0x39).contains($0) }
            return UInt64(String(decoding: digits, as: UTF8.self))
        }
    }
}
