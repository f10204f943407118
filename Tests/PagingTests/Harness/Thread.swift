import Glibc

/// A thread of the system, which its starter must join.
enum Thread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: consuming @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Only the thread releases the closure: the thread sanitizer does not see that a last release comes after the
    /// others.
    static func start(_ body: consuming @escaping @Sendable () -> Void) -> pthread_t {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Body(consume body)).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, argument)
        precondition(result == 0, "pthread_create failed")
        return thread
    }

    /// Runs `body` on `count` threads at once, with the number of each, and returns when all have ended.
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let threads = (0..<count).map { number in start { body(number) } }
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Lets others run until `condition` holds. This has no time limit: the Watchdog ends what never ends.
    static func wait(until condition: () -> Bool) {
        while !condition() { usleep(100) }
    }
}
