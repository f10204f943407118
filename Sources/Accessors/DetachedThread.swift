import Glibc

/// A thread that nobody joins, for work that may hang for ever.
public enum DetachedThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a thread of its own. Once that has begun, only it releases the closure: the thread sanitizer does
    /// not see that a last release comes after the others.
    /// - Returns: False if there can be no more threads.
    public static func run(_ body: consuming @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Body(consume body))
        let failure = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        guard failure == 0 else {
            argument.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}
