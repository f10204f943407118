import Glibc

/// A thread of a schedule: a thread of the system that runs only while it holds the baton.
final class SimulatedThread: @unchecked Sendable {
    let number: Int
    let name: String
    /// Whether it may still wait when the schedule ends, without that being a failure.
    let isBackground: Bool
    private let body: @Sendable () -> Void
    private let baton: UnsafeMutablePointer<sem_t>
    private var thread = pthread_t()
    unowned let scheduler: Scheduler

    /// What prevents it from continuing.
    enum State: Equatable {
        case ready
        /// Until no thread holds the lock.
        case lock
        /// Until the condition or semaphore is signalled, or until the deadline, if there is one.
        case signal
        /// Until the deadline.
        case sleep
        /// Until the thread with that number has ended.
        case join(Int)
        /// For ever: the process that it belonged to is dead.
        case stopped
        case ended
    }
    var state = State.ready
    /// The address of the lock, condition or semaphore that it waits for.
    var place: UnsafeRawPointer?
    /// The lock that it takes again after its wait for a condition.
    var lock: UnsafeMutableRawPointer?
    /// When it continues in any case, in nanoseconds of the virtual clock.
    var deadline: Int?
    /// The step at which it began to wait.
    var waitsSince = 0
    /// What it is about to do, or what it waits for.
    var event = Event("begin", "", 0)
    /// The request under way, if any, and the step at which it began.
    var request: StaticString?
    var requestSince = 0
    var priority: Int

    /// In bytes. Enough for a request of the pager in a debug build, and for its checks.
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

    /// Starts the system's thread, which then waits for the baton.
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

    /// Waits until the system's thread has ended. The simulated thread has ended before.
    func join() { pthread_join(thread, nil) }

    func giveBaton() { sem_post(baton) }
    func takeBaton() { while sem_wait(baton) != 0 {} }
}
