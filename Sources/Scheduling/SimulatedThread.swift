import Glibc

/// A thread of a schedule: a thread of the system that runs only while it has the baton.
final class SimulatedThread: @unchecked Sendable {
    let number: Int
    let name: String
    /// Whether the schedule may end, and nothing be amiss, while this thread waits.
    let isBackground: Bool
    private let body: @Sendable () -> Void
    private let baton: UnsafeMutablePointer<sem_t>
    private var thread = pthread_t()
    unowned let scheduler: Scheduler

    /// What keeps it from going on.
    enum State: Equatable {
        case ready
        /// Until nobody holds the lock.
        case lock
        /// Until the condition or semaphore is signalled; a time can come first.
        case signal
        /// For a time.
        case sleep
        /// Until the thread of that number has ended.
        case join(Int)
        case ended
    }
    var state = State.ready
    /// Where the lock, condition or semaphore lies that it waits for.
    var place: UnsafeRawPointer?
    /// The lock that it takes again after the condition.
    var lock: UnsafeMutableRawPointer?
    /// When it goes on in any case, nanoseconds.
    var deadline: Int?
    /// The step at which it began to wait.
    var waitsSince = 0
    /// What it is about to do, or waits for.
    var event = Event("begin", "", 0)
    /// The request that it does, if any, and the step at which that began.
    var request: StaticString?
    var requestSince = 0
    var priority: Int

    /// So much is enough for a request of the pager in a debug build, and for its checks, bytes.
    private static let stackSize = 1 << 20

    init(
        number: Int, name: String, isBackground: Bool, priority: Int, of scheduler: Scheduler,
        _ body: @escaping @Sendable () -> Void
    ) {
        self.number = number
        self.name = name
        self.isBackground = isBackground
        self.priority = priority
        self.scheduler = scheduler
        self.body = body
        baton = .allocate(capacity: 1)
        sem_init(baton, 0, 0)
    }

    deinit {
        sem_destroy(baton)
        baton.deallocate()
    }

    /// Makes the system's thread, which waits for the baton.
    func start() {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, SimulatedThread.stackSize)
        let argument = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                let thread = Unmanaged<SimulatedThread>.fromOpaque(argument!).takeRetainedValue()
                thread.takeBaton()
                thread.body()
                thread.scheduler.end()
                return nil
            }, argument)
        precondition(result == 0, "pthread_create failed")
        pthread_attr_destroy(&attributes)
    }

    /// Waits until the thread of the system is gone; it has ended.
    func join() { pthread_join(thread, nil) }

    func giveBaton() { sem_post(baton) }
    func takeBaton() { while sem_wait(baton) != 0 {} }
}
