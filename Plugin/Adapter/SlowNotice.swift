import Accessors
import Glibc

/// Says what the start waits for, if that takes longer than a person expects. A disk holds up the thread that waits for
/// it, so another thread says so.
///
///     idle ── during ──▶ waiting ── a second has passed ──▶ told
///      ▲                    │                                 │
///      └──── the wait is over: the thread is joined ──────────┘
///
/// Thread rules: one thread calls. Nothing of it is left when `during` returns, because the process forks after the
/// start.
struct SlowNotice: Sendable {
    private let log: @Sendable (String) -> Void
    /// After which time a line is due, seconds.
    private let patience: Int

    init(patience: Int = 1, log: @escaping @Sendable (String) -> Void) {
        self.log = log
        self.patience = patience
    }

    /// Runs `body`. If that takes longer than a second, `line` is logged once meanwhile.
    func during<Result, Failure: Error>(
        _ line: String, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let timer = Timer { [log] in log(line) }
        let thread = timer.start(seconds: patience)
        defer { if let thread { timer.stop(thread) } }
        return try body()
    }

    /// A thread that waits for a post.
    @safe private final class Timer: @unchecked Sendable {
        private let semaphore: UnsafeMutablePointer<sem_t>
        private let tell: @Sendable () -> Void
        private var seconds = 0

        init(_ tell: @escaping @Sendable () -> Void) {
            self.tell = tell
            unsafe semaphore = .allocate(capacity: 1)
            unsafe semaphore.initialize(to: sem_t())
            unsafe sem_init(semaphore, 0, 0)
        }

        deinit {
            unsafe sem_destroy(semaphore)
            unsafe semaphore.deallocate()
        }

        /// Nil if there can be no more threads. Then nothing is told.
        func start(seconds: Int) -> pthread_t? {
            self.seconds = seconds
            var thread = pthread_t()
            let argument = unsafe Unmanaged.passUnretained(self).toOpaque()
            let failure = unsafe pthread_create(
                &thread, nil,
                { argument in
                    unsafe Unmanaged<Timer>.fromOpaque(argument!).takeUnretainedValue().run()
                    return nil
                }, argument)
            return failure == 0 ? thread : nil
        }

        private func run() {
            var end = timespec()
            unsafe clock_gettime(CLOCK_REALTIME, &end)
            end.tv_sec += seconds
            while unsafe sem_timedwait(semaphore, &end) != 0 {
                guard errno == EINTR else { return tell() }
            }
        }

        func stop(_ thread: pthread_t) {
            unsafe sem_post(semaphore)
            pthread_join(thread, nil)
        }
    }
}
