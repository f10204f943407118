import Scheduling

/// A step that is neither a lock's nor an atomic's, of the build in which a Scheduler runs the threads.
enum Schedule {
    static func step(file: StaticString = #fileID, line: UInt = #line) {
        Scheduler.active?.step(Event("step", 0, file, line))
    }
}
