import CSignalStack
import Glibc
import Synchronization

/// Brings dirty flexpages to the images without being asked.
///
/// A crew of threads. One of them, the watch, leads a write-out when more is dirty than the background target, or when
/// something has been dirty for longer than the age. The others help with whatever write-out is open, a flush's too.
/// What could not be written out is tried again once a second. So are the flushes that clients have left behind.
///
/// Made after the process has forked, if it forks, and ended before the Pages are. `stop` writes nothing out; that is
/// what `flush` is for.
public final class Writeback: @unchecked Sendable {
    private let pages: Pages
    private let registry: ProviderRegistry
    private let age: Int
    private let flushesCompleted: @Sendable (Provider, Int) -> Void
    private var crew = Crew()
    /// What the watch knows of each image, by the image's number. Only the watch touches it. It grows when an image has
    /// a higher number than any before.
    private var schedules: [WritebackSchedule] = []

    /// The default number of threads in the crew: enough write-outs at once to keep a disk busy.
    public static let defaultCrew = 4
    /// The time between two looks of the watch, milliseconds. It is shorter if the age is short.
    private static let watchInterval = 250
    /// The time between a failure and the next attempt, milliseconds.
    private static let retryInterval = 1000

    /// Starts the crew.
    /// - Parameter dirtyAge: Milliseconds that something may be dirty before it goes out by itself, at least 1.
    /// - Parameter flushesCompleted: Called when flushes of an image that were left behind have been done, with their
    ///   number. If a failed sync has lost something (`Provider.lost`), they have been done as far as possible. Called
    ///   on a thread of the crew.
    /// - Throws: EAGAIN, or another errno value of pthread_create, if a thread cannot be created.
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

    /// Ends the crew and waits until it has ended. Called once, before the last reference goes.
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
            registry.visitEach { provider in
                let index = schedules.index(of: provider.image, opening: provider.opening)
                if !lookAfter(provider, &schedules[index]) { interval = 1 }
            }
            if MonotonicClock.milliseconds >= nextClosing {
                registry.closeUnused()
                nextClosing = MonotonicClock.milliseconds + Writeback.retryInterval
            }
        }
        return nil
    }

    /// Does what is due for an image, for a while.
    /// - Returns: False if more is due at once.
    private func lookAfter(_ provider: Provider, _ schedule: inout WritebackSchedule) -> Bool {
        let now = MonotonicClock.milliseconds
        // A flush waits for what a zero or trim has reserved, and the watch has other images to look after.
        if provider.durability.hasLeftFlushes, now >= schedule.nextRetry, provider.mapper.context.reservations.isEmpty {
            schedule.nextRetry = now + Writeback.retryInterval
            let count = provider.durability.flushForThoseWhoLeft()
            if count > 0 { flushesCompleted(provider, count) }
        }
        let epoch = provider.ledger.endEpoch()
        schedule.epochs.note(epoch, at: now, age: age)
        let isRetry = provider.ledger.failedLeaves > 0 && now >= schedule.nextRetry
        if isRetry { schedule.nextRetry = now + Writeback.retryInterval }
        // A thread that waits for memory may be waiting for dirty pages: one of them may keep a large flexpage.
        let isAbove = pages.dirtyLimit.isAboveTarget || pages.waiters.isAnyoneWaiting
        let before = pages.dirtyLimit.pages
        var leaves = 0
        if let epoch = isAbove || isRetry ? epoch : schedule.epochs.latest(endedBy: now - age) {
            leaves =
                pages.writebackQueue.writeOut(provider, passingOverReserved: true, .due) { keys in
                    provider.ledger.oldestDirty(upTo: epoch, includingFailed: isRetry, into: keys)
                }.leaves
        }
        provider.durability.tellNews()
        syncIfMuchIsUnsynced(provider, now, &schedule)
        return !(isAbove && leaves > 0 && pages.dirtyLimit.pages < before)
    }

    /// Syncs if too many pages are written out and not durable: they are the last to be recycled, and a flush must have
    /// time to sync them. The next flush finds the error, if there is one. A failed sync makes the pages dirty again,
    /// so it is not tried again at once. Otherwise the same pages would be written for ever, as fast as the disk can.
    private func syncIfMuchIsUnsynced(_ provider: Provider, _ now: Int, _ schedule: inout WritebackSchedule) {
        let isMuch = provider.durability.risk.unsyncedPages > pages.memory.metadata.frames / 4
        guard isMuch || pages.pace.isSyncDue, now >= schedule.nextSync else { return }
        do throws(AccessError) {
            try provider.durability.sync()
        } catch {
            schedule.nextSync = now + Writeback.retryInterval
        }
    }
}
