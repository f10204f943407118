import Glibc
import Scheduling

/// The `Signal` of the build in which a Scheduler runs the threads.
struct Signal {
    private let semaphore: UnsafeMutablePointer<sem_t>

    init(at space: UnsafeMutablePointer<sem_t>) { semaphore = space }

    func prepare() {
        if let scheduler = Scheduler.active { return scheduler.make(semaphore, #fileID) }
        sem_init(semaphore, 0, 0)
    }

    func destroy() {
        if Scheduler.active == nil { sem_destroy(semaphore) }
    }

    func give(file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active { return scheduler.post(semaphore, file, line) }
        sem_post(semaphore)
    }

    func hear(file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active { return scheduler.hear(semaphore, file, line) }
        while sem_wait(semaphore) != 0 {}
    }
}
