import CSignalStack
import Glibc

/// The threads that read ahead, of all images.
///
/// Made after the process has forked, where it forks, stopped before the Pages end.
public final class Prefetcher: @unchecked Sendable {
    private let pages: Pages
    private var crew = Crew()

    /// Reads of a megabyte that are under way at once.
    public static let defaultThreads = 4

    /// - Parameter count: How many; with none, `drain` does the work.
    /// - Throws: EAGAIN, or another errno value of pthread_create, where they cannot be had.
    public init(pages: Pages, threads count: Int = Prefetcher.defaultThreads) throws(AccessError) {
        self.pages = pages
        pages.prefetches.setWorking(true)
        do throws(AccessError) {
            try crew.start(count, Unmanaged.passUnretained(self).toOpaque()) { argument in
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

    /// Reads ahead what is queued, in the caller's thread: what a simulation does, to be the same each time.
    public func drain() { pages.prefetches.drain() }

    /// Sends the threads home and waits until they have gone. Called once, before the last reference goes.
    public func stop() {
        pages.prefetches.setWorking(false)
        crew.join()
    }
}
