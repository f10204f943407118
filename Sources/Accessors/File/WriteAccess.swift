import CLinux
import Glibc
import SystemPackage

/// The right to write an image: counts its writers here, and while there are any, keeps others out.
///
/// A regular file is protected by an open-file-description lock on all of it. The lock ends with the descriptor,
/// however the process ends, and other open file descriptions of the same process see it. A block device is also
/// claimed: opened with O_EXCL, which the kernel refuses for a device that is mounted or claimed by another.
///
/// **When a device is claimed.** Whether a client may write is known only when it comes. By then the process has given
/// up its privileges, and opening the device again needs permission again. But a claim held from the start on would
/// hinder those who only read: two read-only servers, and mounting. So:
/// - At the start, while privileges last, a claim is tried, for reading, which is all that a claim needs. A device that
///   is held already is no error yet.
/// - `privilegesDropped` is called once privileges are final. If the device can still be opened, it gives the claim
///   back, because a later claim can succeed. Otherwise the claim is kept until a client comes that may only read.
/// - The first writer claims the device, if no claim is held. The last one gives it back, by the same rule.
///
/// Locks: the mutex is held over the calls of a claim and a lock. Nothing else is locked inside it. It is a
/// pthread_mutex_t, because Swift's own mutex misbehaves in a forked child.
final class WriteAccess: @unchecked Sendable {
    private typealias Problem = ImageError.Problem

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let descriptor: Int32
    private let isBlockDevice: Bool
    private let mode: LockMode
    private var writers = 0
    private var claiming: OwnedDescriptor?

    /// - Parameter descriptor: Open for writing, as long as this lives; not owned.
    init(descriptor: Int32, isBlockDevice: Bool, mode: LockMode) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        self.descriptor = descriptor
        self.isBlockDevice = isBlockDevice
        self.mode = mode
        claiming = isBlockDevice ? try? Self.opened(descriptor, exclusive: true) : nil
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// The descriptor that claims the device, or nil.
    var claim: Int32? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return claiming?.number
    }

    func privilegesDropped() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0 { releaseClaim() }
    }

    /// A client has come that only reads. If nobody writes, even a claim that this process could not get again is given
    /// back: the server serves read-only, and readers hinder nobody.
    func beginReading() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0 { claiming = nil }
    }

    /// Lets in one more writer.
    func begin() throws(ImageError.Problem) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0 {
            try takeClaim()
            do throws(ImageError.Problem) {
                try takeLock()
            } catch {
                releaseClaim()
                throw error
            }
        }
        writers += 1
    }

    /// One writer leaves.
    func end() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        precondition(writers > 0, "more writers left than came")
        writers -= 1
        guard writers == 0 else { return }
        if mode == .on { _ = linux_unlock(descriptor) }
        releaseClaim()
    }

    private func takeClaim() throws(ImageError.Problem) {
        if !isBlockDevice || claiming != nil { return }
        do throws(Errno) {
            claiming = try Self.opened(descriptor, exclusive: true)
        } catch {
            throw error == .resourceBusy ? .held : .unclaimable(error)
        }
    }

    /// Gives the claim back, if this process could get it again.
    private func releaseClaim() {
        guard claiming != nil, (try? Self.opened(descriptor, exclusive: false)) != nil else { return }
        claiming = nil
    }

    private func takeLock() throws(ImageError.Problem) {
        guard mode == .on else { return }
        do throws(Errno) {
            _ = try Linux.checked(linux_lock(descriptor))
        } catch {
            // Either may say that another process has the lock.
            let isTaken = error == .resourceTemporarilyUnavailable || error == .permissionDenied
            throw isTaken ? .locked : .unlockable(error)
        }
    }

    /// The same device, opened for reading once more, with the present privileges.
    private static func opened(_ descriptor: Int32, exclusive: Bool) throws(Errno) -> OwnedDescriptor {
        try Linux.opened { linux_reopen(descriptor, false, false, exclusive) }
    }
}
