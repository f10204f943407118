/// Points at which a Scheduler may draw the order of events, besides locks, signals and atomics. Only the build with a
/// Scheduler has any (Scheduled/Schedule.swift). In other builds, this leaves no code.
enum Schedule {
    /// Another thread may continue here.
    @inline(__always)
    static func step() {}
}
