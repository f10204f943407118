import Synchronization

/// The library's `Atomic`, not the pager's: what tests count for themselves is no step of a schedule.
typealias Atomic<Value: AtomicRepresentable> = Synchronization.Atomic<Value>
