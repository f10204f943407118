import CSignalStack
import Glibc
import Synchronization

/// Brings dirty flexpages to the images without being asked.
///
/// A watch and a crew of threads. The watch does no I/O: it posts the images that something may be due for. A thread of
/// the crew looks after each of them. It leads a write-out if more is dirty than the background target, or if something
/// has been dirty for longer than the age. What could not be written out is tried again once a second. So are the
/// flushes that clients have left behind, and the closing of images that have no clients. Otherwise the crew helps with
/// whatever write-out is open, a flush's too.
///
/// Made after the process has forked, if it forks, and ended before the Pages are. `stop` writes nothing out; that is
/// what `flush` is for.
public final class Writeback: @unchecked Sendable {
    private let pages: Pages
    private let registry: ProviderRegistry
    private let age: Int
    private let flushesCompleted: @Sendable (Provider, Int) -> Void
    private var crew = Crew()
    /// When what is due for each image, by the image's number. Only the thread that looks after the image touches it.
    private let schedules: UnsafeMutablePointer<WritebackSchedule>

    /// The default number of threads in the crew, enough write-outs at once to keep a disk busy. If several images
    /// share the Memory it is twice as many: half of them are enough then.
    public static func defaultCrew(isShared: Bool) -> Int { isShared ? 8 : 4 }
    /// The time between two looks of the watch, milliseconds. It is shorter if the age is short.
    private static let watchInterval = 250
    /// How often the next server is told what an image looks like, milliseconds.
    private static let stampInterval = 1000
    /// The time between a failure and the next attempt, milliseconds.
    private static let retryInterval = 1000

    /// Starts the crew.
    /// - Parameter dirtyAge: Milliseconds that something may be dirty before it goes out by itself, at least 1.
    /// - Parameter flushesCompleted: Called when flushes of an image that were left behind have been done, with their
    ///   number. If a failed sync has lost something (`Provider.lost`), they have been done as far as possible. Called
    ///   on a thread of the crew.
    /// - Throws: EAGAIN, or another errno value of pthread_create, if a thread cannot be created.
    public init(
        pages: Pages, registry: ProviderRegistry, dirtyAge: Int = 5000, crew: Int? = nil,
        flushesCompleted: @escaping @Sendable (Provider, Int) -> Void = { _, _ in }
    ) throws(AccessError) {
        self.pages = pages
        self.registry = registry
        self.flushesCompleted = flushesCompleted
        age = max(1, dirtyAge)
        let images = pages.memory.metadata.images
        schedules = .allocate(capacity: images)
        schedules.initialize(repeating: WritebackSchedule(opening: 0), count: images)
        let crew = max(1, crew ?? Writeback.defaultCrew(isShared: pages.isShared))
        pages.writebackQueue.begin(crew: crew, isShared: pages.isShared)
        let argument = Unmanaged.passUnretained(self).toOpaque()
        do throws(AccessError) {
            try self.crew.start(1, argument) { Writeback.from($0!).watch() }
            try self.crew.start(crew, argument) { Writeback.from($0!).help() }
        } catch {
            stop()
            throw error
        }
    }

    deinit { schedules.deallocate() }

    private static func from(_ argument: UnsafeMutableRawPointer) -> Writeback {
        Unmanaged<Writeback>.fromOpaque(argument).takeUnretainedValue()
    }

    /// Ends the crew and waits until it has ended. Called once, before the last reference goes.
    public func stop() {
        pages.writebackQueue.stop()
        crew.join()
    }

    private func watch() -> UnsafeMutableRawPointer? {
        signal_stack_prepare()
        let interval = max(1, min(Writeback.watchInterval, age / 4))
        var nextClosing = 0
        var nextFrame: FlexpageID = 0
        while pages.writebackQueue.waitForKick(milliseconds: interval) {
            let isClosing = MonotonicClock.milliseconds >= nextClosing
            if isClosing {
                nextClosing = MonotonicClock.milliseconds + Writeback.retryInterval
                pages.queue.noteHits(from: &nextFrame, of: pages.frames)
            }
            pages.table.kept?.noteAlive()
            registry.visitEach { provider, isLeft in
                if isLeft ? isClosing : mayBeDue(for: provider) { pages.writebackQueue.post(provider) }
            }
            // While much is dirty each writer kicks, and a look does not take as long as a write-out.
            MonotonicClock.sleepBriefly()
        }
        return nil
    }

    /// Whether a thread of the crew may have something to do for the image. O(1), and no I/O.
    private func mayBeDue(for provider: Provider) -> Bool {
        provider.durability.mayNeedWriteback || pages.table.kept != nil && provider.accessor.isStampDue
    }

    private func help() -> UnsafeMutableRawPointer? {
        signal_stack_prepare()
        while true {
            switch pages.writebackQueue.help() {
            case .end: return nil
            case .helped: break
            case .lookAfter(let provider):
                let image = provider.image
                let isMoreDue = lookAfter(provider)
                pages.writebackQueue.endLookingAfter(provider, again: isMoreDue)
                registry.closeIfLeft(provider)
                pages.writebackQueue.endWork(for: image)
            }
        }
    }

    /// Does what is due for an image, for a while. One thread at a time for each image.
    /// - Returns: True if more is due at once.
    private func lookAfter(_ provider: Provider) -> Bool {
        let schedule = schedules + Int(provider.image)
        schedule.pointee.begin(opening: provider.opening)
        return lookAfter(provider, &schedule.pointee)
    }

    private func lookAfter(_ provider: Provider, _ schedule: inout WritebackSchedule) -> Bool {
        let now = MonotonicClock.milliseconds
        // A flush waits for what a zero or trim has reserved.
        let isWaitingForNothing = !provider.mapper.context.reservations.isReplacing
        if provider.durability.hasLeftFlushes, now >= schedule.nextRetry, isWaitingForNothing {
            schedule.nextRetry = now + Writeback.retryInterval
            let count = provider.durability.flushForThoseWhoLeft()
            if count > 0 { flushesCompleted(provider, count) }
        }
        let epoch = provider.ledger.endEpoch()
        schedule.epochs.note(epoch, at: now, age: age)
        let isRetry = provider.ledger.failedLeaves > 0 && now >= schedule.nextRetry
        if isRetry { schedule.nextRetry = now + Writeback.retryInterval }
        let dirtyLimit = provider.mapper.context.dirtyLimit
        // A thread that waits for memory may be waiting for dirty pages: one of them may keep a large flexpage.
        let isAbove = dirtyLimit.isAboveTarget || pages.waiters.isAnyoneWaiting
        let before = dirtyLimit.pagesOfImage
        var leaves = 0
        if let epoch = isAbove || isRetry ? epoch : schedule.epochs.latest(endedBy: now - age) {
            leaves =
                pages.writebackQueue.writeOut(provider, passingOverReserved: true, .due) { keys in
                    provider.ledger.oldestDirty(upTo: epoch, includingFailed: isRetry, into: keys)
                }.leaves
        }
        let dirtySince = schedule.dirtySince(
            provider.ledger.oldestDirtyEpoch, hasFailed: provider.ledger.failedLeaves > 0, now: now)
        provider.mapper.context.map.counters.noteDirty(since: dirtySince)
        provider.durability.tellNews()
        syncIfMuchIsUnsynced(provider, now, &schedule)
        noteStamp(provider, now, &schedule)
        return isAbove && leaves > 0 && dirtyLimit.pagesOfImage < before
    }

    /// Notes for the next server what the image looks like, at most once a second. An image that is idle after its last
    /// flush is noted too, once: from then on every change is another program's. Two looks of the watch find out that
    /// it is idle.
    private func noteStamp(_ provider: Provider, _ now: Int, _ schedule: inout WritebackSchedule) {
        guard pages.table.kept != nil, now >= schedule.nextStamp else { return }
        if provider.accessor.noteStamp() { schedule.nextStamp = now + Writeback.stampInterval }
    }

    /// Syncs if too many pages are written out and not durable: they are the last to be recycled, and a flush must have
    /// time to sync them. The next flush finds the error, if there is one. A failed sync makes the pages dirty again,
    /// so it is not tried again at once. Otherwise the same pages would be written for ever, as fast as the disk can.
    private func syncIfMuchIsUnsynced(_ provider: Provider, _ now: Int, _ schedule: inout WritebackSchedule) {
        let isMuch = provider.durability.risk.unsyncedPages > pages.sizes.frames / 4
        guard isMuch || provider.mapper.context.pace.isSyncDue, now >= schedule.nextSync else { return }
        do throws(AccessError) {
            try provider.durability.sync()
        } catch {
            schedule.nextSync = now + Writeback.retryInterval
        }
    }
}
