/// What a process has of io_uring: rings for its writes, and one for reads that are waited for awake. They serve all
/// its images. Any thread may use them.
public final class Rings: Sendable {
    let writes = WriteRings()
    let reads = PolledReads()

    public init() {}

    /// Whether the kernel has rings, and permits them to this process.
    public static func areAvailable() -> Bool { WriteRings.areAvailable() }
}
