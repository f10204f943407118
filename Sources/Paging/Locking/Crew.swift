import Glibc

/// Threads of the system that work until their owner tells them to end.
///
/// A Crew starts and joins them. How they are told is up to the owner, which outlives them. Thread rules: one thread at
/// a time.
struct Crew {
    private var threads: [pthread_t] = []

    /// Starts `count` more threads, each of which runs `body` with `argument`.
    /// - Throws: EAGAIN, or another errno value of pthread_create, if a thread cannot be started. Those started
    ///   before it continue until `join`.
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

    /// Waits until all threads have ended.
    mutating func join() {
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }
}
