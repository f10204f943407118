import Glibc
import Synchronization
import TestSupport

/// A control group with a limit of memory, for as long as this is held.
final class MemoryGroup {
    let directory: String
    /// Tests run at the same time.
    private static let count = Atomic<Int>(0)

    init(limit: Int) throws {
        guard let parent = Machine.memoryGroups else { throw Trouble("no control groups") }
        let number = Self.count.wrappingAdd(1, ordering: .relaxed).newValue
        directory = "\(parent)/flexpage-test-\(getpid())-\(number)"
        guard mkdir(directory, 0o755) == 0 else {
            throw Trouble("mkdir \(directory): \(String(cString: strerror(errno)))")
        }
        let isVersionOne = access("\(directory)/memory.limit_in_bytes", F_OK) == 0
        let file = isVersionOne ? "memory.limit_in_bytes" : "memory.max"
        try Files.write(Array("\(limit)".utf8), to: "\(directory)/\(file)")
    }

    deinit {
        // It empties when the last process in it has been waited for.
        for _ in 0..<500 where rmdir(directory) != 0 { usleep(10_000) }
    }
}
