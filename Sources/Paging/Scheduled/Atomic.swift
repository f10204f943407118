import Scheduling
import Synchronization

/// The `Atomic` of the build in which a Scheduler runs the threads. It hides the library's from all of Paging, so that
/// another thread may continue before each access. Every access is sequentially consistent, whatever order it names.
struct Atomic<Value: Scheduled>: ~Copyable, @unchecked Sendable {
    private let value: Synchronization.Atomic<Value>

    init(_ initial: consuming Value) { value = Synchronization.Atomic(initial) }

    func load(ordering: AtomicLoadOrdering, file: StaticString = #fileID, line: UInt = #line) -> Value {
        step("load", file, line)
        return Value.load(value)
    }

    func store(
        _ new: Value, ordering: AtomicStoreOrdering, file: StaticString = #fileID, line: UInt = #line
    ) {
        step("store", file, line)
        change { _ in new }
    }

    func exchange(
        _ new: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line
    ) -> Value {
        step("exchange", file, line)
        return change { _ in new }
    }

    func compareExchange(
        expected: Value, desired: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
        line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
        step("compare and exchange", file, line)
        return Value.compareExchange(value, expected, desired)
    }

    func weakCompareExchange(
        expected: Value, desired: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
        line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
        step("compare and exchange", file, line)
        return Value.compareExchange(value, expected, desired)
    }

    private func step(_ what: StaticString, _ file: StaticString, _ line: UInt) {
        Scheduler.active?.step(Event(what, 0, file, line))
    }

    @discardableResult
    private func change(_ new: (Value) -> Value) -> Value {
        var old = Value.load(value)
        while true {
            let (exchanged, original) = Value.compareExchange(value, old, new(old))
            if exchanged { return original }
            old = original
        }
    }
}

extension Atomic where Value: FixedWidthInteger {
    @discardableResult
    func wrappingAdd(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        update("add", file, line) { $0 &+ operand }
    }

    @discardableResult
    func wrappingSubtract(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        update("subtract", file, line) { $0 &- operand }
    }

    @discardableResult
    func bitwiseOr(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        update("or", file, line) { $0 | operand }
    }

    @discardableResult
    func bitwiseAnd(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        update("and", file, line) { $0 & operand }
    }

    private func update(
        _ what: StaticString, _ file: StaticString, _ line: UInt, _ new: (Value) -> Value
    ) -> (oldValue: Value, newValue: Value) {
        step(what, file, line)
        let old = change(new)
        return (old, new(old))
    }
}

/// A value that an `Atomic` can hold, with the library's accesses to values of its size.
protocol Scheduled: AtomicRepresentable {
    static func load(_ atomic: borrowing Synchronization.Atomic<Self>) -> Self
    static func compareExchange(
        _ atomic: borrowing Synchronization.Atomic<Self>, _ expected: Self, _ desired: Self
    ) -> (exchanged: Bool, original: Self)
}

extension Scheduled where AtomicRepresentation == UInt64.AtomicRepresentation {
    static func load(_ atomic: borrowing Synchronization.Atomic<Self>) -> Self {
        atomic.load(ordering: .sequentiallyConsistent)
    }
    static func compareExchange(
        _ atomic: borrowing Synchronization.Atomic<Self>, _ expected: Self, _ desired: Self
    ) -> (exchanged: Bool, original: Self) {
        atomic.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }
}

extension Scheduled where AtomicRepresentation == UInt32.AtomicRepresentation {
    static func load(_ atomic: borrowing Synchronization.Atomic<Self>) -> Self {
        atomic.load(ordering: .sequentiallyConsistent)
    }
    static func compareExchange(
        _ atomic: borrowing Synchronization.Atomic<Self>, _ expected: Self, _ desired: Self
    ) -> (exchanged: Bool, original: Self) {
        atomic.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }
}

extension Scheduled where AtomicRepresentation == UInt8.AtomicRepresentation {
    static func load(_ atomic: borrowing Synchronization.Atomic<Self>) -> Self {
        atomic.load(ordering: .sequentiallyConsistent)
    }
    static func compareExchange(
        _ atomic: borrowing Synchronization.Atomic<Self>, _ expected: Self, _ desired: Self
    ) -> (exchanged: Bool, original: Self) {
        atomic.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }
}

extension Int: Scheduled {}
extension UInt: Scheduled {}
extension Int64: Scheduled {}
extension UInt64: Scheduled {}
extension Int32: Scheduled {}
extension UInt32: Scheduled {}
extension UInt8: Scheduled {}
extension Bool: Scheduled {}

/// Takes the place of the library's fence. It is only a step: all accesses here are ordered already.
func atomicMemoryFence(ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: UInt = #line) {
    Scheduler.active?.step(Event("fence", 0, file, line))
}
