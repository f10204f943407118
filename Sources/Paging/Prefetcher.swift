import CSignalStack
import Glibc

/// The threads that read ahead, of all images.
///
/// Made after the process has forked, where it forks, stopped before the Pages end.
public final class Prefetcher: @unchecked Sendable {
    private let pages: Pages
    private let threads: UnsafeMutableBufferPointer<pthread_t>

    /// Reads of a megabyte that are under way at once.
    public static let usualThreads = 4

    /// - Parameter count: How many; with none, `drain` does the work.
    public init(pages: Pages, threads count: Int = Prefetcher.usualThreads) {
        self.pages = pages
        threads = .allocate(capacity: count)
        pages.prefetches.setWorking(true)
        for index in threads.indices { threads.initializeElement(at: index, to: start()) }
    }

    private func start() -> pthread_t {
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                signal_stack_prepare()
                let prefetcher = Unmanaged<Prefetcher>.fromOpaque(argument!).takeUnretainedValue()
                while prefetcher.pages.prefetches.work() {}
                return nil
            }, Unmanaged.passUnretained(self).toOpaque())
        precondition(result == 0, "no thread could be had for reading ahead")
        return thread
    }

    /// Reads ahead what is queued, in the caller's thread: what a simulation does, to be the same each time.
    public func drain() { pages.prefetches.drain() }

    /// Sends the threads home and waits until they have gone. Called once, before the last reference goes.
    public func stop() {
        pages.prefetches.setWorking(false)
        for thread in threads { pthread_join(thread, nil) }
        threads.deallocate()
    }
}
