import Glibc
import Synchronization

/// A thread beside the test's own that the test can see asleep. So a test can see that something waits, rather than
/// wait for a while and call that a proof.
final class Companion: Sendable {
    private let life: Life
    private let thread: pthread_t

    private final class Life: Sendable {
        /// The system's number of the thread; 0 before it has begun.
        let number = Atomic<Int>(0)
        let hasEnded = Atomic<Bool>(false)
        /// Released with the Companion, after the join: the thread sanitizer does not see that a last release comes
        /// after the others.
        let body: @Sendable () -> Void

        init(_ body: consuming @escaping @Sendable () -> Void) { self.body = body }
    }

    init(_ body: consuming @escaping @Sendable () -> Void) {
        let life = Life(consume body)
        self.life = life
        thread = Thread.start {
            life.number.store(Companion.ownNumber, ordering: .relaxed)
            life.body()
            life.hasEnded.store(true, ordering: .relaxed)
        }
    }

    func join() { pthread_join(thread, nil) }

    var hasEnded: Bool { life.hasEnded.load(ordering: .relaxed) }

    /// Returns when the thread sleeps and stays asleep, for whatever reason, or has ended. A thread that polls, as at a
    /// Gate, does not stay asleep: see `waitUntilPolling`. A test that finds it asleep too soon has proven less, and
    /// does not fail for it.
    func waitUntilAsleep() {
        var lastSleep = -1
        var looks = 0
        Thread.wait {
            let sleep = sleepNumber
            looks = sleep != nil && sleep == lastSleep ? looks + 1 : 0
            lastSleep = sleep ?? -1
            return hasEnded || looks == 8
        }
    }

    /// Returns when the thread has gone to sleep three times more, as one that polls does again and again, or has
    /// ended.
    func waitUntilPolling() {
        let begin = state?.sleeps ?? 0
        Thread.wait { hasEnded || (state?.sleeps ?? 0) >= begin + 3 }
    }

    /// The number of times that the thread has gone to sleep, if it sleeps now.
    private var sleepNumber: Int? { state.flatMap { $0.isAsleep ? $0.sleeps : nil } }

    /// Whether the thread sleeps, and how many times it has gone to sleep. Nil before it has begun.
    private var state: (isAsleep: Bool, sleeps: Int)? {
        let number = life.number.load(ordering: .relaxed)
        guard number != 0, let status = Companion.read("/proc/self/task/\(number)/status") else { return nil }
        let lines = status.split(separator: "\n")
        guard let switches = lines.first(where: { $0.hasPrefix("voluntary_ctxt_switches:") }),
            let sleeps = Int(switches.split(separator: "\t").last ?? "")
        else { return nil }
        return (lines.contains { $0.hasPrefix("State:\tS") }, sleeps)
    }

    /// The system's number of the calling thread.
    private static var ownNumber: Int {
        var link = [UInt8](repeating: 0, count: 64)
        let count = link.withUnsafeMutableBytes { link in
            readlink("/proc/thread-self", link.baseAddress!.assumingMemoryBound(to: CChar.self), link.count)
        }
        precondition(count > 0, "there is no /proc")
        return Int(String(decoding: link[..<count], as: UTF8.self).split(separator: "/").last ?? "")!
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
