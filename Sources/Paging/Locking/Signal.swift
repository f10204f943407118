import Glibc

/// A semaphore at a fixed place: each time that it is heard, it has been given once. A copy is the same semaphore.
struct Signal {
    private let semaphore: UnsafeMutablePointer<sem_t>

    /// The signal in `space`. `prepare` makes it, and `destroy` ends it.
    init(at space: UnsafeMutablePointer<sem_t>) { semaphore = space }

    func prepare() { sem_init(semaphore, 0, 0) }
    func destroy() { sem_destroy(semaphore) }

    /// Gives it once more. As soon as another thread has heard that, the signal may be gone.
    func give() { sem_post(semaphore) }

    /// Sleeps until it has been given more often than it was heard.
    func hear() { while sem_wait(semaphore) != 0 {} }
}
