import Glibc

/// Real threads, all at once, whatever the number of processors.
enum Threads {
    private final class Job {
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
            let jobs = (0..<count).map { Job($0, body) }
            let threads = jobs.map(start)
            for thread in threads { pthread_join(thread, nil) }
            if let error = jobs.lazy.compactMap(\.error).first { throw error }
        }
    }

    private static func start(_ job: Job) -> pthread_t {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(job).toOpaque()
        let failure = pthread_create(
            &thread, nil,
            { context in
                let job = Unmanaged<Job>.fromOpaque(context!).takeRetainedValue()
                do { try job.body(job.number) } catch { job.error = error }
                return nil
            }, context)
        precondition(failure == 0, "no thread")
        return thread
    }
}
