import Glibc

/// Threads of the system that work until they are told that there is no more to do.
///
/// It starts and joins them; how they are told is their owner's affair. One thread at a time, and the owner outlives
/// them.
struct Crew {
    private var threads: [pthread_t] = []

    /// Starts `count` threads more, each of which runs `body` with `argument`.
    /// - Throws: EAGAIN, or another errno value of pthread_create, where one cannot be had. Those before it run on, for
    ///   `join`.
    mutating func start(
        _ count: Int, _ argument: UnsafeMutableRawPointer,
        _ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    ) throws(AccessError) {
        for _ in 0..<count {
            var thread = pthread_t()
            let failure = pthread_create(&thread, nil, body, argument)
            guard failure == 0 else { throw AccessError(failure) }
            threads.append(thread)
        }
    }

    /// Waits until all have ended.
    mutating func join() {
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }
}
