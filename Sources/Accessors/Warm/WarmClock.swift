/// Tells the thread that keeps a warm file when a list is due. Tests have one that they drive.
public protocol WarmClock: Sendable {
    /// Waits until the next list is due.
    /// - Returns: False if it is the last one.
    func wait() -> Bool
    /// The last list is due now. Any thread.
    func end()
}

/// A list is due every minute.
public final class MinuteClock: WarmClock {
    private let seconds: Int
    private let isAtEnd = Monitored(false)

    public init(seconds: Int = 60) { self.seconds = seconds }

    public func wait() -> Bool {
        let until = MonotonicTime.now + seconds * 1000
        return isAtEnd.wait { isAtEnd -> Monitored<Bool>.Wish<Bool> in
            isAtEnd ? .done(false) : MonotonicTime.now >= until ? .done(true) : .later(until)
        }
    }

    public func end() { isAtEnd.change { $0 = true } }
}
