/// Where the order of events can be drawn by a Scheduler, besides at locks, signals and atomics: nowhere, but in the
/// build that has one (Scheduled/Schedule.swift). Nothing is left of it.
enum Schedule {
    /// Another thread may go on here.
    @inline(__always)
    static func step() {}
}
