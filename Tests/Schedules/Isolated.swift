import CSchedules
import Glibc
import Scheduling

/// Runs something in a process of its own. So every end of it is a result, even a crash, and everything that it leaves
/// behind is gone.
///
/// The child is a fork of the calling process in which only the calling thread continues. It reports through memory
/// that both share. What it prints on standard error is kept.
final class Isolated {
    /// Room for the child's report, in bytes.
    private static let room = 4 << 20

    private let memory: UnsafeMutableRawPointer
    private let errors: Int32
    private var child: pid_t = 0

    // The shared memory: counters, the draws of the last schedule, and the text.
    private var counters: UnsafeMutablePointer<Int> { memory.assumingMemoryBound(to: Int.self) }
    private static let counterCount = 8
    private static let textBegin = 256 << 10

    /// Where the child's schedules write their draws.
    var journal: Journal {
        let begin = Isolated.counterCount * 8
        return Journal(
            in: UnsafeMutableRawBufferPointer(start: memory + begin, count: Isolated.textBegin - begin))
    }

    /// Starts `body` in a child. `body` returns a text to report, or nil.
    /// - Parameter processor: The processor that the child keeps to: passing a baton between processors is slow.
    init(processor: Int? = nil, _ body: (Isolated) -> String?) {
        let flags = MAP_SHARED | MAP_ANONYMOUS
        memory = mmap(nil, Isolated.room, PROT_READ | PROT_WRITE, flags, -1, 0)
        precondition(memory != MAP_FAILED, "no memory to share")
        errors = schedules_nameless_file()
        child = schedules_fork()
        precondition(child >= 0, "fork failed")
        if child == 0 {
            dup2(errors, 2)
            if let processor { schedules_keep_to(Int32(processor)) }
            if let text = body(self) { tell(text) }
            _exit(0)
        }
    }

    deinit {
        munmap(memory, Isolated.room)
        close(errors)
    }

    /// A number that the child changes and the parent reads.
    subscript(counter: Int) -> Int {
        get { counters[counter] }
        set { counters[counter] = newValue }
    }

    private func tell(_ text: String) {
        let bytes = Array(text.utf8.prefix(Isolated.room - Isolated.textBegin))
        (memory + Isolated.textBegin).copyMemory(from: bytes, byteCount: bytes.count)
        counters[Isolated.counterCount - 1] = bytes.count + 1
    }

    /// Waits for the child's end.
    /// - Returns: The text that it reported, how it died, or nil.
    func result() -> String? {
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        let count = counters[Isolated.counterCount - 1] - 1
        if count >= 0 {
            let bytes = UnsafeRawBufferPointer(start: memory + Isolated.textBegin, count: count)
            return String(decoding: bytes, as: UTF8.self)
        }
        return status == 0 ? nil : "the process died of signal \(status & 0x7F): \(firstErrors)"
    }

    /// The beginning of what it printed: the reason for a crash comes before the details.
    private var firstErrors: String {
        var bytes = [UInt8](repeating: 0, count: 500)
        lseek(errors, 0, SEEK_SET)
        let count = read(errors, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
