import Glibc

/// Real threads, all at once, whatever the number of processors.
enum Threads {
    private final class Errand {
        let number: Int
        let body: (Int) throws -> Void
        var error: (any Error)?

        init(_ number: Int, _ body: @escaping (Int) throws -> Void) {
            self.number = number
            self.body = body
        }
    }

    /// Runs `body` on `count` threads, waits for all, and throws an error that one of them threw.
    static func run(_ count: Int, _ body: (Int) throws -> Void) throws {
        try withoutActuallyEscaping(body) { body in
            let errands = (0..<count).map { Errand($0, body) }
            let threads = errands.map(start)
            for thread in threads { pthread_join(thread, nil) }
            if let error = errands.lazy.compactMap(\.error).first { throw error }
        }
    }

    private static func start(_ errand: Errand) -> pthread_t {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(errand).toOpaque()
        let failure = pthread_create(
            &thread, nil,
            { context in
                let errand = Unmanaged<Errand>.fromOpaque(context!).takeRetainedValue()
                do { try errand.body(errand.number) } catch { errand.error = error }
                return nil
            }, context)
        precondition(failure == 0, "no thread")
        return thread
    }
}
