import CSignalStack
import Glibc
import Synchronization

/// Brings dirty flexpages to the Accessor by itself: begin, end, again.
///
/// A crew of threads of the system. One of them keeps watch: when more is dirty than the background target, or
/// something has been dirty for longer than the age, it leads a write-out; the others help with whatever write-out is
/// open, a flush's too. What could not be written out is tried again once a second, and so are the flushes that clients
/// have left behind.
///
/// Made after the process has forked, where it forks, ended before the Pages are; `stop` writes nothing out (that is
/// `flush`).
public final class Writeback: @unchecked Sendable {
    private let pages: Pages
    private let registry: ProviderRegistry
    private let age: Int
    private let flushesCompleted: @Sendable (Provider, Int) -> Void
    private var crew = Crew()

    /// Threads in the crew: enough write-outs at once to keep a disk busy.
    public static let defaultCrew = 4
    /// How often the watch looks, milliseconds; oftener where the age is short.
    private static let watchInterval = 250
    /// How long after a failure it is tried again, milliseconds.
    private static let retryInterval = 1000

    /// Starts the crew.
    /// - Parameter dirtyAge: Milliseconds that something may be dirty before it goes out by itself, at least 1.
    /// - Parameter flushesCompleted: Told when flushes of an image that were left behind have been done, and how many;
    ///   where a failed sync has lost something (`Provider.lost`) as far as they can be. Called from a thread of the
    ///   crew.
    /// - Throws: EAGAIN, or another errno value of pthread_create, where the crew cannot be had.
    public init(
        pages: Pages, registry: ProviderRegistry, dirtyAge: Int = 5000, crew: Int = Writeback.defaultCrew,
        flushesCompleted: @escaping @Sendable (Provider, Int) -> Void = { _, _ in }
    ) throws(AccessError) {
        self.pages = pages
        self.registry = registry
        self.flushesCompleted = flushesCompleted
        age = max(1, dirtyAge)
        let argument = Unmanaged.passUnretained(self).toOpaque()
        do throws(AccessError) {
            try self.crew.start(1, argument) { Writeback.from($0!).watch() }
            try self.crew.start(max(2, crew) - 1, argument) { Writeback.from($0!).help() }
        } catch {
            stop()
            throw error
        }
    }

    private static func from(_ argument: UnsafeMutableRawPointer) -> Writeback {
        Unmanaged<Writeback>.fromOpaque(argument).takeUnretainedValue()
    }

    /// Sends the crew home and waits until it has gone. Called once, before the last reference goes.
    public func stop() {
        pages.writebackQueue.stop()
        crew.join()
    }

    private func help() -> UnsafeMutableRawPointer? {
        signal_stack_prepare()
        while pages.writebackQueue.help() {}
        return nil
    }

    private func watch() -> UnsafeMutableRawPointer? {
        signal_stack_prepare()
        let defaultInterval = max(1, min(Writeback.watchInterval, age / 4))
        var interval = defaultInterval
        var nextClosing = 0
        while pages.writebackQueue.waitForKick(milliseconds: interval) {
            interval = defaultInterval
            registry.visitEach { if !lookAfter($0) { interval = 1 } }
            if Writeback.milliseconds >= nextClosing {
                registry.closeUnused()
                nextClosing = Writeback.milliseconds + Writeback.retryInterval
            }
        }
        return nil
    }

    /// Does what is due for an image, for a while.
    /// - Returns: False where more is due at once.
    private func lookAfter(_ provider: Provider) -> Bool {
        let now = Writeback.milliseconds
        // A flush waits for what a zero or trim has reserved, and the watch has others to look after.
        if provider.hasLeftFlushes, now >= provider.nextRetry, provider.mapper.context.reservations.isEmpty {
            provider.nextRetry = now + Writeback.retryInterval
            let count = provider.flushForThoseWhoLeft()
            if count > 0 { flushesCompleted(provider, count) }
        }
        let epoch = provider.ledger.endEpoch()
        provider.epochs.note(epoch, at: now, age: age)
        let isRetry = provider.ledger.failedLeaves > 0 && now >= provider.nextRetry
        if isRetry { provider.nextRetry = now + Writeback.retryInterval }
        // Who waits for memory may be waiting for dirty pages: a large flexpage may be kept by one of them.
        let isAbove = pages.dirtyLimit.isAboveTarget || pages.waiters.isAnyoneWaiting
        let before = pages.dirtyLimit.pages
        var leaves = 0
        if let epoch = isAbove || isRetry ? epoch : provider.epochs.latest(endedBy: now - age) {
            leaves =
                pages.writebackQueue.writeOut(provider, passingOverReserved: true, .due) { keys in
                    provider.ledger.oldestDirty(upTo: epoch, includingFailed: isRetry, into: keys)
                }.leaves
        }
        provider.tellNews()
        syncIfMuchIsUnsynced(provider, now)
        return !(isAbove && leaves > 0 && pages.dirtyLimit.pages < before)
    }

    /// Pages that are written out and not durable are the last to be recycled, so there must not be too many of them;
    /// nor more than a flush has time to sync. An error is kept where the next flush finds it. As it makes them dirty
    /// again it is not tried again at once: that would be to write the same pages for ever, as fast as the disk can.
    private func syncIfMuchIsUnsynced(_ provider: Provider, _ now: Int) {
        let isMuch = provider.ledger.unsyncedPages > pages.memory.metadata.frames / 4
        guard isMuch || pages.pace.isSyncDue, now >= provider.nextSync else { return }
        do throws(AccessError) {
            try provider.sync()
        } catch {
            provider.nextSync = now + Writeback.retryInterval
        }
    }

    /// The monotonic clock.
    static var seconds: Int { milliseconds / 1000 }
    static var milliseconds: Int { MonotonicClock.milliseconds }
}
