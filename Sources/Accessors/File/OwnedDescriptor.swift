import SystemPackage

/// A file descriptor that is closed when its one owner goes.
///
/// The error of close(2) is dropped: the call that wrote the data, or fdatasync, has reported it.
struct OwnedDescriptor: ~Copyable, Sendable {
    let raw: FileDescriptor

    init(_ raw: FileDescriptor) {
        precondition(raw.rawValue >= 0, "a descriptor that is not open")
        self.raw = raw
    }

    var number: Int32 { raw.rawValue }

    deinit { try? raw.close() }
}
