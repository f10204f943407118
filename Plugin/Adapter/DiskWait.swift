import Glibc

/// Waits for disks, but not for one that does nothing.
enum DiskWait {
    /// Waits while something is under way, but no longer than `patience` milliseconds without any progress.
    /// - Parameter progress: A number that changes whenever something has been done.
    /// - Returns: Whether nothing is under way any more.
    static func wait(_ patience: Int, while isUnderWay: () -> Bool, progress: () -> UInt64) -> Bool {
        var (before, waited) = (progress(), 0)
        while isUnderWay() {
            guard waited < patience else { return false }
            usleep(5000)
            waited += 5
            let now = progress()
            if now != before { (before, waited) = (now, 0) }
        }
        return true
    }
}
