import Glibc
import Scheduling

/// The `Crew` of the build in which a Scheduler runs the threads.
struct Crew {
    private var threads: [pthread_t] = []
    /// The numbers of the threads that a Scheduler runs.
    private var simulated: [Int] = []

    typealias Body = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?

    mutating func start(
        _ count: Int, _ argument: UnsafeMutableRawPointer, _ body: @escaping Body
    ) throws(AccessError) {
        for _ in 0..<count {
            if let scheduler = Scheduler.active {
                nonisolated(unsafe) let argument = argument
                simulated.append(scheduler.start("crew", isBackground: true) { _ = body(argument) })
                continue
            }
            var thread = pthread_t()
            let failure = pthread_create(&thread, nil, body, argument)
            guard failure == 0 else { throw AccessError(failure) }
            threads.append(thread)
        }
    }

    mutating func join() {
        for thread in simulated { Scheduler.active?.join(thread) }
        simulated = []
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }
}
