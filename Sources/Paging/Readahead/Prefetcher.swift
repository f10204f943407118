import CSignalStack
import Glibc

/// The threads that read ahead, of all images, and warm them.
///
/// Made after the process has forked, if it forks, and stopped before the Pages end.
public final class Prefetcher: @unchecked Sendable {
    private let pages: Pages
    private var crew = Crew()

    /// The default number of threads: each reads at most a megabyte at a time.
    public static let defaultThreads = 4

    /// The number of threads for warming.
    public static let warmers = WarmPace.maxUnderWay

    /// - Parameter count: How many threads; if none, `drain` does the work.
    /// - Parameter warmers: More threads, if images are to be warmed, so that reading ahead keeps its own.
    /// - Throws: EAGAIN, or another errno value of pthread_create, if a thread cannot be created.
    public init(pages: Pages, threads count: Int = Prefetcher.defaultThreads, warmers: Int = 0) throws(AccessError) {
        self.pages = pages
        pages.prefetches.setWorking(threads: count)
        do throws(AccessError) {
            try crew.start(count + warmers, Unmanaged.passUnretained(self).toOpaque()) { argument in
                signal_stack_prepare()
                let prefetcher = Unmanaged<Prefetcher>.fromOpaque(argument!).takeUnretainedValue()
                while prefetcher.pages.prefetches.work() {}
                return nil
            }
        } catch {
            stop()
            throw error
        }
    }

    /// Reads ahead what is queued, on the caller's thread. A simulation uses it, so that all runs are the same.
    public func drain() { pages.prefetches.drain() }

    /// Warms nothing any more. What is being read is not waited for.
    public func endWarming() { pages.prefetches.endWarming() }

    /// Ends the threads and waits until they have ended. Called once, before the last reference goes.
    public func stop() {
        pages.prefetches.setWorking(threads: nil)
        crew.join()
    }
}
