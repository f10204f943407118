import Synchronization
import SystemPackage

/// A file descriptor that is closed when its one owner goes, or before.
///
/// The error of close(2) is dropped: the call that wrote the data, or fdatasync, has reported it. Thread rules: any
/// thread may ask for the number, at the cost of a plain load. While `close` or `take` is called nobody uses it.
struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number of a descriptor that is closed. Whatever is called with it fails with EBADF.
    private static let none: Int32 = -1

    private let value: Atomic<Int32>

    init(_ raw: FileDescriptor) {
        precondition(raw.rawValue >= 0, "a descriptor that is not open")
        value = Atomic(raw.rawValue)
    }

    var number: Int32 { value.load(ordering: .relaxed) }

    var raw: FileDescriptor { FileDescriptor(rawValue: number) }

    /// Closes it, if it is open.
    borrowing func close() {
        let number = value.exchange(Self.none, ordering: .relaxed)
        if number != Self.none { try? FileDescriptor(rawValue: number).close() }
    }

    /// Becomes what `other` is. `other` is closed then, and so is what this was.
    borrowing func take(_ other: borrowing OwnedDescriptor) {
        close()
        value.store(other.value.exchange(Self.none, ordering: .relaxed), ordering: .relaxed)
    }

    deinit { close() }
}
