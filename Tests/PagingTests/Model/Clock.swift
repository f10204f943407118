import Synchronization

/// The time of a test: a number that only grows, shared by all its threads. It orders nothing else, so that it hides no
/// race from the thread sanitizer.
final class Clock: Sendable {
    private let time = Atomic<UInt64>(1)

    /// A moment that no other call gets.
    func tick() -> UInt64 { time.add(1, ordering: .relaxed).newValue }
}
