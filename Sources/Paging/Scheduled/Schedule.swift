import Scheduling

/// Steps apart from those of locks and atomics, in the build in which a Scheduler runs the threads.
enum Schedule {
    static func step(file: StaticString = #fileID, line: UInt = #line) {
        Scheduler.active?.step(Event("step", 0, file, line))
    }
}
