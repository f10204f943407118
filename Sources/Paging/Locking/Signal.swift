import Glibc

/// A semaphore at a fixed place: each time that it is heard it has been given once. A copy is the same one.
struct Signal {
    private let semaphore: UnsafeMutablePointer<sem_t>

    /// The signal in `space`, which `prepare` makes and `destroy` ends.
    init(at space: UnsafeMutablePointer<sem_t>) { semaphore = space }

    func prepare() { sem_init(semaphore, 0, 0) }
    func destroy() { sem_destroy(semaphore) }

    /// Gives it once more. As soon as that is heard the signal may be gone.
    func give() { sem_post(semaphore) }

    /// Sleeps until it has been given once more than it was heard.
    func hear() { while sem_wait(semaphore) != 0 {} }
}
