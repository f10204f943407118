import Glibc

/// Runs the same work on several system threads at once.
enum Threads {
    private final class Job {
        let number: Int
        let body: @Sendable (Int) -> Double
        var result = 0.0
        init(_ number: Int, _ body: @escaping @Sendable (Int) -> Double) {
            self.number = number
            self.body = body
        }
    }

    /// Calls `body` with 0, 1, … `count - 1`, each on a thread of its own.
    /// - Returns: All results, once all threads have ended.
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Double) -> [Double] {
        let jobs = (0..<count).map { Job($0, body) }
        let threads = jobs.map { job in
            var thread = pthread_t()
            let started = pthread_create(
                &thread, nil,
                { argument in
                    let job = Unmanaged<Job>.fromOpaque(argument!).takeUnretainedValue()
                    job.result = job.body(job.number)
                    return nil
                }, Unmanaged.passUnretained(job).toOpaque())
            precondition(started == 0, "pthread_create failed")
            return thread
        }
        for thread in threads { pthread_join(thread, nil) }
        return jobs.map(\.result)
    }
}
