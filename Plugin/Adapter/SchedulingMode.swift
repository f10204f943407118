/// The kernel's scheduling policy for the server's threads: scheduling=.
enum SchedulingMode: String, CaseIterable {
    /// The default policy.
    case normal
    /// SCHED_BATCH: a thread that wakes up waits for its turn and does not preempt another.
    case batch
}
