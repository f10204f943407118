import Glibc

/// Makes sure that one process at a time looks after a device. It ends with the process, however that ends.
final class AttachLock {
    private let descriptor: Int32

    /// In a directory to which only root may write.
    init(_ device: NBDDevice, directory: String = "/run") throws {
        let path = "\(directory)/flexpage-\(device.name).lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EACCES || errno == EPERM { throw AttachError("\(device): this needs root") }
            throw AttachError("\(path): \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw AttachError(
                "\(device): another flexpage attach looks after it; end that one, or choose another device")
        }
    }

    deinit { close(descriptor) }
}
