import Glibc

/// The death of the process that the threads of a schedule belong to.
extension Scheduler {
    /// All threads stop where they are, for ever, with whatever they hold. Nothing of them runs any more, not even what
    /// they would do on their way out. Then `heir` runs, on a thread of its own, and may start other threads. Nothing
    /// is drawn any more.
    ///
    /// Called in a fork of the process, by `atEachStep`.
    /// - Returns: What was wrong, or nil.
    public func die(leaving heir: @escaping @Sendable () -> Void) -> String? {
        for thread in threads where thread.state != .ended {
            thread.state = .stopped
            thread.deadline = nil
        }
        draws.isOpen = false
        hasDied = true
        running = add("heir", isBackground: false) {
            heir()
            self.stop()
        }
        running.giveBaton()
        while sem_wait(over) != 0 {}
        return failure
    }
}
