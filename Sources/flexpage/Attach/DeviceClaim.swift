import CLinux
import Glibc

/// A device that nobody uses, nor can begin to use while this lives: not mounted, no swap, no part of another device.
final class DeviceClaim {
    private let descriptor: Int32

    init(_ device: NBDDevice) throws {
        descriptor = linux_open(device.description, false, false, true)
        guard descriptor >= 0 else {
            if descriptor == -EBUSY {
                let mounts = Sysfs.text("/proc/self/mountinfo") ?? ""
                throw DeviceInUse(device: device, mountPoints: device.mountPoints(in: mounts))
            }
            if descriptor == -EACCES || descriptor == -EPERM { throw AttachError("\(device): this needs root") }
            throw AttachError("\(device): \(String(cString: strerror(-descriptor)))")
        }
    }

    /// Writes out what the kernel has cached of it. Whether all of it could be written.
    func writeOut() -> Bool { fsync(descriptor) == 0 }

    deinit { close(descriptor) }
}
