/// How the kernel's scheduler is asked to treat the server's threads: scheduling=.
enum SchedulingMode: String, CaseIterable {
    /// As it treats any.
    case normal
    /// As SCHED_BATCH: a thread that wakes up waits for its turn, rather than to push another off its processor.
    case batch
}
