import Synchronization

/// A number that threads count together. It orders nothing, so that it hides no race.
final class Tally: Sendable {
    private let value = Atomic<Int>(0)

    @discardableResult
    func add(_ count: Int = 1) -> Int { value.add(count, ordering: .relaxed).newValue }
    var count: Int { value.load(ordering: .relaxed) }
}
