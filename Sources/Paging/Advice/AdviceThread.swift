import CSignalStack

/// The thread that simulates samples, a few times a second. It does nothing that a thread of the data path waits for.
///
/// Made after the process has forked, if it forks, and stopped before the Pages end.
public final class AdviceThread: @unchecked Sendable {
    private let pages: Pages
    private let monitor = Monitor()
    private var crew = Crew()
    private var isStopping = false

    /// Milliseconds between two looks at the samples, and if they come fast.
    private static let interval = 200
    private static let shortInterval = 20

    /// - Throws: EAGAIN, or another errno value of pthread_create, if the thread cannot be created.
    public init(pages: Pages) throws(AccessError) {
        self.pages = pages
        try crew.start(1, Unmanaged.passUnretained(self).toOpaque()) { argument in
            signal_stack_prepare()
            Unmanaged<AdviceThread>.fromOpaque(argument!).takeUnretainedValue().work()
            return nil
        }
    }

    deinit { monitor.destroy() }

    /// Ends the thread and waits until it has ended. Called once, before the last reference goes.
    public func stop() {
        monitor.withLock {
            isStopping = true
            monitor.wakeAll()
        }
        crew.join()
    }

    private func work() {
        var interval = AdviceThread.interval
        while wait(milliseconds: interval) {
            let load = pages.digestSamples()
            interval = load > 0.25 ? AdviceThread.shortInterval : AdviceThread.interval
        }
    }

    /// - Returns: False if the thread has to end.
    private func wait(milliseconds: Int) -> Bool {
        monitor.withLock {
            if !isStopping { monitor.wait(milliseconds: milliseconds) }
            return !isStopping
        }
    }
}
