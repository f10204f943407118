import Accessors

/// Counts the orders that are under way and may wait for a disk.
///
/// Fewer of them than clients are let in. So however many disks hang, figures can be had. Thread rules: any thread.
final class ControlOrders: Sendable {
    /// Orders at a time.
    static let max = 6

    private let count = Guarded(0)

    /// - Returns: False if there are too many. If there are not, `end` follows.
    func begin() -> Bool {
        count.withLock { count in
            guard count < ControlOrders.max else { return false }
            count += 1
            return true
        }
    }

    func end() { count.withLock { $0 -= 1 } }
}
