import Glibc
import Scheduling

/// The `Condition` of the build in which a Scheduler runs the threads.
struct Condition: @unchecked Sendable {
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init(in space: UnsafeMutablePointer<pthread_cond_t>, file: StaticString = #fileID) {
        condition = space
        if let scheduler = Scheduler.active { scheduler.make(space, file) } else { pthread_cond_init(space, nil) }
    }

    init(at space: UnsafeMutablePointer<pthread_cond_t>) { condition = space }

    func wait(_ lock: Lock, file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active { return scheduler.wait(condition, lock.mutex, file, line) }
        pthread_cond_wait(condition, lock.mutex)
    }

    func wait(_ lock: Lock, milliseconds: Int, file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active {
            return scheduler.wait(condition, lock.mutex, milliseconds: milliseconds, file, line)
        }
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        let nanoseconds = until.tv_nsec + milliseconds % 1000 * 1_000_000
        until.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        until.tv_nsec = nanoseconds % 1_000_000_000
        _ = pthread_cond_timedwait(condition, lock.mutex, &until)
    }

    func wakeAll(file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active { return scheduler.wakeAll(condition, file, line) }
        pthread_cond_broadcast(condition)
    }

    func wakeOne(file: StaticString = #fileID, line: UInt = #line) {
        if let scheduler = Scheduler.active { return scheduler.wakeOne(condition, file, line) }
        pthread_cond_signal(condition)
    }
}
