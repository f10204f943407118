import Glibc

/// A thread that nobody joins, for work that may hang for ever.
enum DetachedThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a thread of its own, or on the caller's if there can be no more threads.
    static func run(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Body(body))
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        if failure == 0 {
            pthread_detach(thread)
        } else {
            unsafe argument.takeRetainedValue().run()
        }
    }
}
