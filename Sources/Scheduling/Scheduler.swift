import Glibc

/// Runs the threads of a schedule one at a time. There is a step before each action that other threads can notice. At
/// each step, the strategy says which thread continues.
///
///     ready ◀── lock free, signal, deadline, thread's end ── lock, signal, sleep, join
///       └────────────────── block: it cannot continue ──────────────────▲
///
/// Threads are threads of the system that pass a baton, so thread-local data works as usual. Locks, conditions and
/// semaphores are the scheduler's models, which know which thread holds what. So a thread that waits is not run in
/// vain, and a deadlock is a moment at which no thread can continue.
///
/// Time is virtual: each step takes a microsecond. The clock jumps if all threads wait for it. It also jumps if a draw
/// says so, because a real thread can be delayed for any length of time.
///
/// The same seed and strategy give the same steps, whatever the process and its addresses.
///
/// A schedule is an order of steps: each thread sees everything that other threads did in earlier steps. Reorderings by
/// a processor or a compiler (weak memory orders) are not simulated.
///
/// A process runs one schedule at a time. Only the thread that holds the baton calls methods other than `run`.
public final class Scheduler: @unchecked Sendable {
    /// The schedule under way, to which the calling thread belongs, or nil.
    public private(set) nonisolated(unsafe) static var active: Scheduler?

    /// How much a schedule may take before it counts as a failure.
    public struct Limits: Sendable {
        /// Steps in all. After half of them all threads are equally likely to continue, whatever the strategy.
        public var steps = 200_000
        /// In a fair schedule, steps that a thread may wait for a lock, or that a request may take.
        public var patience = 40_000
        /// How many times in a row all threads may wait for the clock before a request ends.
        public var idleJumps = 400

        public init() {}
    }

    let limits: Limits
    var draws: Draws
    var threads: [SimulatedThread] = []
    var running: SimulatedThread!
    /// Nanoseconds of the virtual clock.
    public private(set) var now = 1_000_000_000_000
    var steps = 0
    /// The step at which drawing began.
    private var openedAt = 0
    private var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    var failure: String?
    var hasAbandoned = false
    private var idleJumps = 0
    /// Whether the process has died. What it leaves may wait for as long as `limits` allow.
    var hasDied = false
    private var ready: [SimulatedThread] = []
    /// Once in this many steps, a thread's deadline comes although others can continue; 0 for never.
    private let timePassesOnceIn: Int
    /// Once in this many waits, a condition wakes for no reason; 0 for never.
    let wakesForNothingOnceIn: Int
    /// Called at each step while something is drawn, with the number of steps since drawing began. It runs before
    /// another thread continues, and makes no step of its own. It returns what is wrong, which ends the schedule, or
    /// nil.
    public var atEachStep: ((Int) -> String?)?
    let over: UnsafeMutablePointer<sem_t>
    var objects: [(file: StaticString, ordinal: Int)] = []
    private let recordsTrace: Bool
    private var trace = ""

    /// Whether, with this seed, the clock jumps only if all threads wait for it, and conditions wake only for a reason.
    public static func isPlain(_ seed: UInt64) -> Bool { habits(seed) == (0, 0) }

    private static func habits(_ seed: UInt64) -> (timePassesOnceIn: Int, wakesForNothingOnceIn: Int) {
        var random = SplitMix(seed: seed ^ 0xBADC_0FFE)
        return ([0, 0, 300, 60][random.below(4)], [0, 0, 0, 6][random.below(4)])
    }

    private init(seed: UInt64, _ strategy: Strategy, _ limits: Limits, _ journal: Journal?, recordingTrace: Bool) {
        self.limits = limits
        recordsTrace = recordingTrace
        journal?.clear()
        draws = Draws(seed: seed, strategy, journal)
        (timePassesOnceIn, wakesForNothingOnceIn) = Scheduler.habits(seed)
        over = .allocate(capacity: 1)
        sem_init(over, 0, 0)
    }

    deinit {
        sem_destroy(over)
        over.deallocate()
    }

    /// Runs `body` and the threads that it starts, in the order that `seed` and `strategy` give.
    public static func run(
        seed: UInt64, _ strategy: Strategy, _ limits: Limits = Limits(), journal: Journal? = nil,
        recordingTrace: Bool = false, _ body: @escaping @Sendable () -> Void
    ) -> Outcome {
        precondition(active == nil, "one schedule at a time")
        let scheduler = Scheduler(seed: seed, strategy, limits, journal, recordingTrace: recordingTrace)
        let first = scheduler.add("main", isBackground: false, body)
        scheduler.running = first
        active = scheduler
        first.giveBaton()
        while sem_wait(scheduler.over) != 0 {}
        active = nil
        return scheduler.outcome()
    }

    private func outcome() -> Outcome {
        for thread in threads where thread.state == .ended { thread.join() }
        var outcome = Outcome()
        outcome.failure = failure
        outcome.steps = steps
        outcome.hash = hash
        outcome.options = draws.options
        outcome.deviations = draws.taken.enumerated().filter { $0.element != 0 }.map {
            Deviation($0.offset, Int($0.element))
        }
        outcome.hasAbandoned = hasAbandoned
        outcome.trace = trace
        // The threads that are left wait for batons, and those use this scheduler.
        if hasAbandoned { _ = Unmanaged.passRetained(self) }
        return outcome
    }

    func add(_ name: String, isBackground: Bool, _ body: @escaping @Sendable () -> Void) -> SimulatedThread {
        let thread = SimulatedThread(
            number: threads.count, name: name, isBackground: isBackground, priority: draws.priority(), of: self, body)
        threads.append(thread)
        thread.start()
        return thread
    }

    // MARK: Threads

    /// Starts a thread.
    /// - Parameter isBackground: Whether it waits for work that may never come.
    /// - Returns: The thread's number, for `join`.
    public func start(_ name: String, isBackground: Bool = false, _ body: @escaping @Sendable () -> Void) -> Int {
        let thread = add(name, isBackground: isBackground, body)
        step(Event("start", thread.number, #fileID, #line))
        return thread.number
    }

    /// Waits until the thread with that number has ended.
    public func join(_ number: Int) {
        step(Event("join", number, #fileID, #line))
        guard threads[number].state != .ended else { return }
        block(.join(number))
    }

    /// The calling thread has ended.
    func end() {
        running.event = Event("end", #fileID, #line)
        record(running.event)
        running.state = .ended
        for thread in threads where thread.state == .join(running.number) { wake(thread) }
        if threads.allSatisfy({ $0.state == .ended }) {
            sem_post(over)
        } else if let next = choose() {
            running = next
            next.giveBaton()
        }
    }

    // MARK: Steps

    /// Another thread may continue here.
    public func step(_ event: Event) {
        running.event = event
        record(event)
        pass()
    }

    /// The calling thread cannot continue until its state is *ready* again.
    func block(_ state: SimulatedThread.State) {
        running.state = state
        running.waitsSince = steps
        pass()
    }

    /// Gives the baton to the thread that continues, and returns when the baton has come back.
    func pass() {
        guard let next = choose() else { abandon() }
        let me = running!
        guard next !== me else { return }
        running = next
        next.giveBaton()
        me.takeBaton()
    }

    /// The schedule has ended before the calling thread has. The thread stays here for ever.
    func abandon() -> Never {
        while true { pause() }
    }

    /// The thread that continues, or nil if the schedule has ended.
    private func choose() -> SimulatedThread? {
        guard failure == nil, !hasAbandoned else { return nil }
        if draws.isOpen, let complaint = atEachStep?(steps - openedAt) { return endWith(complaint) }
        steps += 1
        now += 1000
        if steps & 1023 == 0, let complaint = impatience() { return endWith(complaint) }
        if timePassesOnceIn > 0, let late = nextByTime(), draws.once(in: timePassesOnceIn) { passTime(to: late) }
        gatherReady()
        while ready.isEmpty {
            guard let late = nextByTime() else { return endWith("nobody can go on") }
            idleJumps += 1
            guard idleJumps < limits.idleJumps || hasDied else {
                return endWith("all wait for the clock, again and again, and no request ends")
            }
            passTime(to: late)
            gatherReady()
        }
        let (ready, me) = (ready, running!)
        let option = draws.thread(
            of: ready.count, isRunningReady: me.state == .ready, step: draws.isOpen ? steps - openedAt : -1,
            isFair: steps > limits.steps / 2,
            priority: { ready[$0].priority }, lower: { me.priority = $0 })
        let next = ready[option]
        hash = (hash ^ UInt64(next.number)) &* 0x0100_0000_01B3
        return next
    }

    /// Finds the threads that can continue. The running thread comes first, as it continues by default.
    private func gatherReady() {
        ready.removeAll(keepingCapacity: true)
        if running.state == .ready { ready.append(running) }
        for thread in threads where thread.state == .ready && thread !== running { ready.append(thread) }
    }

    private func nextByTime() -> SimulatedThread? {
        var next: SimulatedThread?
        for thread in threads {
            if let deadline = thread.deadline, deadline < next?.deadline ?? Int.max { next = thread }
        }
        return next
    }

    /// Moves the clock on to the deadline of `thread`, and wakes it.
    private func passTime(to thread: SimulatedThread) {
        now = max(now, thread.deadline!)
        wake(thread)
    }

    /// `thread` has been signalled, or its deadline has come. It may still have to wait for its lock.
    func wake(_ thread: SimulatedThread) {
        thread.deadline = nil
        if let lock = thread.lock, Scheduler.owner(of: lock).pointee != 0 {
            thread.state = .lock
            thread.place = UnsafeRawPointer(lock)
        } else {
            thread.state = .ready
            thread.place = nil
        }
    }

    // MARK: Requests

    /// Begins or ends drawing. While nothing is drawn, the running thread continues until it cannot.
    public func setDrawing(_ isDrawing: Bool) {
        draws.isOpen = isDrawing
        if isDrawing { openedAt = steps }
    }

    /// The calling thread begins something that must end.
    public func beginRequest(_ name: StaticString) {
        running.request = name
        running.requestSince = steps
    }

    public func endRequest() {
        running.request = nil
        idleJumps = 0
    }

    /// One of `count` options, as part of the schedule; 0 by default.
    public func draw(_ count: Int) -> Int { draws.any(count) }

    /// True once in `times` calls on average, as part of the schedule; false by default.
    public func draw(onceIn times: Int) -> Bool { draws.once(in: times) }

    // MARK: Time

    /// Sleeps for at least this many nanoseconds.
    public func sleep(nanoseconds: Int, _ file: StaticString = #fileID, _ line: UInt = #line) {
        let event = Event("sleep", file, line)
        running.event = event
        record(event)
        running.deadline = now + nanoseconds
        block(.sleep)
    }

    // MARK: Trace

    func record(_ event: Event) {
        hash = (hash ^ UInt64(event.line) ^ UInt64(running.number) << 32) &* 0x0100_0000_01B3
        guard recordsTrace else { return }
        let object = event.object > 0 ? " \(event.object)" : ""
        trace += "\(steps) \(running.name): \(event.what)\(object) \(event.file):\(event.line)\n"
    }
}
