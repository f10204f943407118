import CLinux
import Glibc
import SystemPackage

/// Who may write an image: counts its writers, and while there are any keeps others from being one.
///
/// A regular file is kept by an open-file-description lock on all of it (which ends with the descriptor, however the
/// process ends, and is seen by other open file descriptions of the same process). A block device is also claimed:
/// opened with O_EXCL, which the kernel refuses for a device that is mounted or claimed by another.
///
/// **When a device is claimed.** Whether a client may write is known when it comes, which is after the process has
/// given up its privileges, and opening the device again asks for permission again. But a claim held from the start on
/// would hinder those who only read: two read-only servers, and mounting. So:
/// - At the start, while privileges last, a claim is tried, for reading, which is all that a claim needs. A device
///   that is held already is no error yet.
/// - Once privileges are what they will be (`privilegesDropped`), the claim is given back if the device can still be
///   opened, as it can be had again then; and kept if it cannot, until a client comes that may only read.
/// - The first writer claims the device, if no claim is held; the last one gives it back, by the same rule.
///
/// Locks: the mutex is held over the calls of a claim and a lock. Nothing else is locked inside of it. It is a
/// pthread_mutex_t, as Swift's own misbehaves in a forked child.
final class WriteAccess: @unchecked Sendable {
    private typealias Problem = ImageError.Problem

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let descriptor: Int32
    private let isBlockDevice: Bool
    private let mode: LockMode
    private var writers = 0
    private var claiming: OwnedDescriptor?

    /// - Parameter descriptor: Open for writing, and open for as long as this lives; not owned.
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

    /// Somebody reads who never writes. If nobody writes, a claim that could not be had again is given back too: the
    /// server was told to serve read-only, and readers hinder nobody.
    func beginReading() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if writers == 0 { claiming = nil }
    }

    /// One writer more.
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

    /// One writer less.
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

    /// Gives the claim back, unless it could not be had again.
    private func releaseClaim() {
        guard claiming != nil, (try? Self.opened(descriptor, exclusive: false)) != nil else { return }
        claiming = nil
    }

    private func takeLock() throws(ImageError.Problem) {
        guard mode == .on else { return }
        do throws(Errno) {
            _ = try Linux.checked(linux_lock(descriptor))
        } catch {
            // Either may say that another has it.
            let isTaken = error == .resourceTemporarilyUnavailable || error == .permissionDenied
            throw isTaken ? .locked : .unlockable(error)
        }
    }

    /// The same device, opened for reading once more, with the privileges of now.
    private static func opened(_ descriptor: Int32, exclusive: Bool) throws(Errno) -> OwnedDescriptor {
        try Linux.opened { linux_reopen(descriptor, false, false, exclusive) }
    }
}
