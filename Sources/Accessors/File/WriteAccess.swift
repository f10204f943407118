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
/// - An image that is opened while the server serves is not claimed at the start: privileges are final.
///
/// **The descriptor of a claim.** The image's `syncing` descriptor becomes the claim, and another description of the
/// device when the claim is given back (dup3). So a claim takes no descriptor of its own. No report of a failed
/// write-out is missed: all is written and synced between the two.
///
/// Locks: the mutex is held over the calls of a claim and a lock. Nothing else is locked inside it. It is a
/// pthread_mutex_t, because Swift's own mutex misbehaves in a forked child.
final class WriteAccess: @unchecked Sendable {
    private typealias Problem = ImageError.Problem

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let descriptor: Int32
    private let syncing: Int32
    private let isBlockDevice: Bool
    private let mode: LockMode
    private var writers = 0
    private var isClaimed = false

    /// - Parameter descriptor: Open for writing, as long as this lives; not owned.
    /// - Parameter syncing: The number of the descriptor that is to claim a block device; not owned.
    /// - Parameter isLate: The process has the privileges that it keeps.
    init(descriptor: Int32, syncing: Int32, isBlockDevice: Bool, mode: LockMode, isLate: Bool) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        self.descriptor = descriptor
        self.syncing = syncing
        self.isBlockDevice = isBlockDevice
        self.mode = mode
        if isBlockDevice, !isLate { try? claim() }
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
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
        guard writers == 0, isClaimed else { return }
        releaseClaim()
        // Without permission the buffered descriptor will do: nobody writes any more, and nothing needs a sync.
        if isClaimed { isClaimed = linux_replace(syncing, descriptor) < 0 }
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
        if !isBlockDevice || isClaimed { return }
        do throws(Errno) {
            try claim()
        } catch {
            throw error == .resourceBusy ? .held : .unclaimable(error)
        }
    }

    private func claim() throws(Errno) {
        let claim = try opened(exclusive: true)
        _ = try Linux.checked(linux_replace(syncing, claim.number))
        isClaimed = true
    }

    /// Gives the claim back, if this process could get it again.
    private func releaseClaim() {
        guard isClaimed else { return }
        do throws(Errno) {
            let other = try opened(exclusive: false)
            _ = try Linux.checked(linux_replace(syncing, other.number))
            isClaimed = false
        } catch {
            // It lacks the permission, and keeps the claim.
        }
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
    private func opened(exclusive: Bool) throws(Errno) -> OwnedDescriptor {
        try Linux.opened { linux_reopen(descriptor, false, false, exclusive) }
    }
}
