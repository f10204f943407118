import Synchronization

/// Holds threads up until it is opened, and knows how many have come.
final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)
    private let come = Atomic<Int>(0)

    /// Waits until the gate is open.
    func pass() {
        come.add(1, ordering: .relaxed)
        Thread.wait { isOpen.load(ordering: .relaxed) }
    }

    var isOpened: Bool { isOpen.load(ordering: .relaxed) }
    func open() { isOpen.store(true, ordering: .relaxed) }
    var arrivals: Int { come.load(ordering: .relaxed) }
}
