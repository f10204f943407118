import Accessors

/// Counts the orders that are under way and may wait for a disk.
///
/// Fewer of them than clients are let in. So however many disks hang, figures can be had. An order whose client has
/// gone counts as long as flushes that it has begun are running, because these have threads. Thread rules: any thread.
final class ControlOrders: Sendable {
    /// Orders at a time.
    static let max = 6

    private struct State {
        var count = 0
        /// Of orders whose clients have gone.
        var leftBehind: [FinalFlushes] = []
    }

    private let state = Guarded(State())

    /// - Returns: False if there are too many. If there are not, `end` follows.
    func begin() -> Bool {
        state.withLock { state in
            state.leftBehind.removeAll { !$0.isAnyRunning }
            guard state.count + state.leftBehind.count < ControlOrders.max else { return false }
            state.count += 1
            return true
        }
    }

    /// - Parameter flushes: What the order has begun and does not wait for; it may have ended.
    func end(leaving flushes: FinalFlushes? = nil) {
        state.withLock { state in
            state.count -= 1
            if let flushes, flushes.isAnyRunning { state.leftBehind.append(flushes) }
        }
    }
}
