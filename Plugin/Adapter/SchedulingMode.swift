/// The kernel's scheduling policy for the server's threads: scheduling=.
enum SchedulingMode: String, CaseIterable {
    /// SCHED_BATCH while the server and its clients have the processors to themselves, otherwise the default policy.
    case auto
    /// The default policy, or whatever the server was started with.
    case normal
    /// SCHED_BATCH: a thread that wakes up waits for its turn and does not preempt another.
    case batch
}
