import Accessors
import Glibc
import Paging
import SystemPackage

/// Everything that serves images, from after the fork to the end: the Pages, the registry, the Prefetcher, the
/// Writeback, and the images that clients have open.
///
/// The image of file= is kept open as long as this lives, so that pages read for one client stay cached for the next.
/// Every other image is opened for its first client. After the last one it rests: its pages stay, and its descriptors
/// and its lock do not.
/// `end` is called once, when no request is under way any more.
final class Serving: Sendable {
    let pages: Pages
    /// How much of the memory is in use.
    let limit: MemoryLimit
    private let registry: ProviderRegistry
    private let images: ServedImages
    /// The image of file=.
    private let kept: ServedImage?
    /// What the next server finds, or nil.
    private let inheritance: Inheritance?
    /// What is read at the start, and written every minute, or nil.
    private let warmth: Warmth?
    private let writeback: Writeback?
    private let prefetcher: Prefetcher?
    /// What simulates other amounts of memory; nil without control=, or if there is too little memory.
    private let adviceThread: AdviceThread?
    private let gate: @Sendable () -> Void
    private let flushes: FinalFlushes
    /// Whether the image that is kept open is having its first turn as a writer, which must end before the image rests.
    private let isSettling = Guarded(false)
    /// Seconds that the end waits for a disk that does nothing, or nil if it waits for ever.
    private let endTime: Int?

    /// Allocates the memory and starts the threads.
    /// - Parameter image: The image that is kept open, or nil if each is opened for its first client.
    /// - Parameter isShared: Whether clients may have several images.
    /// - Parameter inheritance: What the last server has left, and the next one is to find; nil if nothing is kept.
    /// - Parameter warmth: What warm= keeps; nil without it.
    /// - Parameter gate: Called before an image is released. Does not return if it must not be released any more.
    /// - Throws: The reason why memory or threads are not available.
    init(
        keeping image: Export?, isShared: Bool = false, _ settings: Settings, _ inheritance: Inheritance? = nil,
        _ warmth: Warmth? = nil,
        log: @escaping @Sendable (String) -> Void, gate: @escaping @Sendable () -> Void
    ) throws(ConfigurationError) {
        self.gate = gate
        self.inheritance = inheritance
        self.warmth = warmth
        endTime = settings.endTime
        let images = ServedImages()
        self.images = images
        let takenOver: [ProviderRegistry.TakenOver]
        do throws(AccessError) {
            pages = try Pages(
                memory: settings.memory, dirtyShare: settings.dirtyShare, flushTime: settings.flushTime,
                readahead: settings.readahead, isShared: isShared, isFar: settings.role == .filter,
                advice: settings.adviceBytes, aside: settings.asideBytes, kept: inheritance?.kept,
                backing: inheritance?.backing
            ) { notice, provider in
                let served = images.find(provider)
                let text = notice.line(isLate: served?.isLate ?? false)
                log(served?.line(text) ?? text)
            }
            let registry = ProviderRegistry(pages: pages, keepingUnused: image == nil || inheritance != nil)
            self.registry = registry
            limit = MemoryLimit(pages: pages, registry: registry)
            inheritance?.noteBegin()
            takenOver =
                inheritance.map { inheritance in
                    registry.takeOver(inheritance.kept) { number in
                        inheritance.heirs[number].map { ($0.image, $0.isResting) }
                    }
                } ?? []
            flushes = FinalFlushes(registry)
            kept = try image.map { (image) throws(AccessError) in
                try Serving.open(image, isLate: false, registry, images, gate)
            }
        } catch {
            throw settings.refusal(ofMemory: error)
        }
        image?.image.privilegesDropped()
        do throws(AccessError) {
            prefetcher = try Serving.prefetcher(pages, settings, isWarming: warmth != nil)
        } catch {
            throw Serving.refusal(ofThread: error)
        }
        do throws(AccessError) {
            adviceThread = pages.givesAdvice ? try AdviceThread(pages: pages) : nil
        } catch {
            prefetcher?.stop()
            throw Serving.refusal(ofThread: error)
        }
        // What is owed to other images goes out too, and the next server wants to know when this one was alive.
        let isWritable = inheritance != nil || image?.image.isWritable ?? true
        do throws(AccessError) {
            writeback =
                isWritable
                ? try Writeback(
                    pages: pages, registry: registry, dirtyAge: settings.dirtyAge, crew: settings.writesUnderWay
                ) { provider, count in
                    Serving.complete(count, provider, images, log)
                } : nil
        } catch {
            adviceThread?.stop()
            prefetcher?.stop()
            throw Serving.refusal(ofThread: error)
        }
        do throws(ConfigurationError) {
            try warmth?.begin(registry)
        } catch {
            adviceThread?.stop()
            writeback?.stop()
            prefetcher?.stop()
            throw error
        }
        if let kept, let warmth { Serving.warmAtStart(kept, warmth, isSettling) }
        for image in takenOver where !image.isResting { leave(image, log) }
        inheritance?.kept.noteService()
    }

    /// Begins to warm the image that is kept open. Nobody waits for its disk.
    private static func warmAtStart(_ kept: ServedImage, _ warmth: Warmth, _ isSettling: Guarded<Bool>) {
        isSettling.withLock { $0 = true }
        let hasBegun = DetachedThread.run {
            kept.settle()
            isSettling.withLock { $0 = false }
            warmth.opened(kept.provider, name: "")
        }
        if !hasBegun { isSettling.withLock { $0 = false } }
    }

    private static func prefetcher(
        _ pages: Pages, _ settings: Settings, isWarming: Bool
    ) throws(AccessError) -> Prefetcher? {
        guard settings.readahead > 0 || isWarming else { return nil }
        return try Prefetcher(
            pages: pages, threads: settings.readahead > 0 ? settings.callsAhead : 0,
            warmers: isWarming ? Prefetcher.warmers : 0)
    }

    /// Brings what the last server owed to an image there, and releases the image: the dead server is a client that has
    /// left. That may take long, and nobody waits for it.
    private func leave(_ image: ProviderRegistry.TakenOver, _ log: @escaping @Sendable (String) -> Void) {
        guard inheritance?.heirs[image.number]?.isLocked == true else {
            _ = try? registry.close(image.provider)
            return
        }
        let served = images.enter(image.provider) {
            ServedImage(image.provider, prefix: "", isLate: true, gate: gate)
        }
        let hasBegun = DetachedThread.run {
            if let error = self.endWriting(served) {
                log(served.line(Self.line(notBrought: image.owedPages, error)))
            }
            self.close(served)
        }
        // Then the image stays open, and the Writeback writes it out when it is due.
        if !hasBegun { log(served.line("cannot start a thread; the image stays locked until the server ends")) }
    }

    private static func line(notBrought owedPages: Int, _ error: AccessError) -> String {
        let reason = "\(Errno(rawValue: error.code))"
        return owedPages > 0
            ? "what the last server owed to the image is not on it yet: \(reason); it stays in memory and is retried"
            : "what the last server had given to the image is not durable: \(reason)"
    }

    private static func refusal(ofThread error: AccessError) -> ConfigurationError {
        ConfigurationError(
            "cannot start a thread: \(Errno(rawValue: error.code)); raise the process limit (ulimit -u) or the control "
                + "group's pids.max")
    }

    // MARK: - Control

    /// The images that clients have open, or have left with data that is not on them yet.
    var openImages: [ServedImage] { images.all }

    /// Calls `body` with each image that clients have open, in the order of their names. Each stays open meanwhile.
    func visitEach(_ body: (ServedImage) -> Void) {
        for served in images.all {
            guard let provider = registry.openIfInUse(served.provider.identity) else { continue }
            if provider === served.provider { body(served) }
            _ = try? registry.close(provider)
        }
    }

    /// Flushes all images at once. Does not wait for the rest when `isGone` says that nobody waits for it.
    /// - Returns: The flushes, some of which may be running, and a sentence for each that has failed.
    func flushAll(_ isGone: () -> Bool) -> (flushes: FinalFlushes, failures: [String]) {
        let flushes = FinalFlushes(registry)
        flushes.start(images.all, .now)
        while flushes.isAnyRunning, !isGone() { usleep(2000) }
        let failures = flushes.failures.map { served, error in
            let reason = error.map { "\(Errno(rawValue: $0.code))" } ?? "its disk has not done it yet"
            return "\(served.label): the flush has failed: \(reason)"
        }
        return (flushes, failures)
    }

    /// What is in memory of an image that clients have open, the warmest first.
    func residents(of provider: Provider) -> Residents? { registry.residents(of: provider) }

    /// Forgets the pages of images that no client has open.
    func forgetResting() { registry.forgetResting() }

    // MARK: - Clients

    /// The Provider of an image that clients have open by any name, for one more client. `open` must follow.
    func useIfInUse(_ identity: ImageIdentity) -> Provider? { registry.openIfInUse(identity) }

    /// The image, for one more client. If clients have it open by any name, what `export` has opened is closed again.
    func open(_ export: Export) throws(AccessError) -> ServedImage {
        try Serving.open(export, isLate: kept == nil, registry, images, gate)
    }

    private static func open(
        _ export: Export, isLate: Bool, _ registry: ProviderRegistry, _ images: ServedImages,
        _ gate: @escaping @Sendable () -> Void
    ) throws(AccessError) -> ServedImage {
        let provider =
            if let provider = export.provider {
                provider
            } else {
                try registry.open(export.image.identity) { () throws(AccessError) in export.image }
            }
        if let reserve = export.reserve { provider.setReserve(reserve) }
        return images.enter(provider) {
            ServedImage(provider, name: export.name, prefix: export.prefix, isLate: isLate, gate: gate)
        }
    }

    /// A client has been let in: if the image is to be warmed, that begins.
    /// - Parameter hasForgotten: What was in memory has been forgotten for the client.
    func warm(_ served: ServedImage, name: String, hasForgotten: Bool) {
        warmth?.opened(served.provider, name: kept == nil ? name : "", hasForgotten: hasForgotten)
    }

    /// One client less. The last one closes the image, except that of file=.
    func close(_ served: ServedImage) {
        // What cannot be written, the client's `endWriting` has reported.
        _ = try? registry.close(served.provider)
        images.leave(served)
    }

    /// A client that could write is gone. Its data is flushed before the image is released to other writers. If that
    /// fails, the data stays in memory, and the image stays locked, until the Writeback has succeeded.
    /// - Returns: The error, or nil if everything is on the image.
    func endWriting(_ served: ServedImage) -> AccessError? {
        do throws(AccessError) {
            try served.provider.flush()
        } catch {
            images.beginAbsence(served)
            served.provider.leaveFlush()
            return error
        }
        served.endWriting()
        return nil
    }

    /// The Writeback has flushed what `count` clients had left behind.
    private static func complete(
        _ count: Int, _ provider: Provider, _ images: ServedImages, _ log: @Sendable (String) -> Void
    ) {
        guard let served = images.find(provider) else {
            preconditionFailure("an image stays until all that was left behind is written")
        }
        served.endWriting(clients: count)
        log(served.line(line(completed: count, lost: provider.lost)))
        images.endAbsence(served, clients: count)
    }

    /// The line in the log when the data that clients left behind has been flushed.
    private static func line(completed count: Int, lost: AccessError?) -> String {
        let clients = count == 1 ? "a client that has left" : "\(count) clients that have left"
        return lost == nil
            ? "everything written by \(clients) is now on the image and synced"
            : "data still in memory from \(clients) is now on the image; data lost in a failed sync is not"
    }

    // MARK: - The end

    /// How long one round of flushes after a quit signal is waited for, milliseconds. What takes longer goes on.
    private static let round = 1000

    /// Flushes all images, unless nothing has been written since the last call. Those whose last flush is still running
    /// are left alone. One thread at a time. Takes a second at the most if a disk hangs.
    /// - Returns: Whether all succeeded.
    func flushIfChanged() -> Bool {
        flushes.start(images.all, .ifChanged)
        return flushes.wait(patience: Serving.round) && flushes.failures.isEmpty
    }

    /// The counters of each image that clients have open, a line each.
    var countersOfImages: [String] { images.all.map { "\($0.label): \($0.counters)" } }

    /// A number that changes while something is done for any image.
    var progress: UInt64 { images.all.reduce(flushes.progress) { $0 &+ $1.provider.calls.ended } }

    /// Flushes all images one last time, and stops the threads. Does not wait for clients: nbdkit calls no close for
    /// those that are still connected. If nothing is written to any image for `endTime` seconds, it gives up: threads
    /// and memory stay as they are, because a disk that hangs may still use them.
    /// - Returns: An error for each image that could not be written, and whether it has given up.
    func end() -> (losses: [ConfigurationError], hasGivenUp: Bool) {
        let patience = endTime.map { $0 * 1000 } ?? Int.max
        prefetcher?.endWarming()
        // Before the flushes, which may take long: a list needs nothing of them.
        warmth?.end()
        // An image whose flush after the quit signal still runs gets its last one after that.
        flushes.start(images.all, .last)
        var hasEnded = flushes.wait(patience: patience)
        if hasEnded {
            flushes.start(images.all, .last)
            hasEnded = flushes.wait(patience: patience)
        }
        // What is read ahead is for no client, and may hang.
        hasEnded = hasEnded && DiskWait.wait(patience, while: { isWaitingForDisk }, progress: { progress })
        let losses = self.losses
        guard hasEnded else {
            _ = unsafe Unmanaged.passRetained(self)
            return (losses, true)
        }
        if let kept { close(kept) }
        limit.stop()
        writeback?.stop()
        adviceThread?.stop()
        prefetcher?.stop()
        if losses.isEmpty { inheritance?.kept.noteEnd() }
        return (losses, false)
    }

    /// Whether a flush, or another call of an image, is under way that a disk may hold up.
    var isWaitingForDisk: Bool { flushes.isAnyRunning || images.all.contains(where: isBusy) }

    private func isBusy(_ served: ServedImage) -> Bool {
        served.provider.calls.isAnyUnderWay || (served === kept && isSettling.withLock(\.self))
    }

    /// An error for each image of which not all is written and synced, and for each whose requests are not done.
    var losses: [ConfigurationError] {
        let failures = flushes.failures
        let lines = failures.map { served, error in
            error.map { loss(of: served, $0) } ?? loss(ofHanging: served, after: endTime ?? 0)
        }
        let waiting = images.all.filter { served in
            isBusy(served) && !failures.contains { $0.served === served }
        }
        return lines
            + waiting.map {
                ConfigurationError("requests to \($0.label) are not done: \(Serving.silence(of: endTime ?? 0))")
            }
    }

    /// Why the end does not wait any longer for a disk.
    static func silence(of seconds: Int) -> String {
        "its disk did nothing for \(seconds) \(seconds == 1 ? "second" : "seconds") (end-time=)"
    }

    /// What becomes of data that is not on its image when the server ends.
    private var fate: String { inheritance == nil ? "are lost" : "stay in the state file for the next server" }

    private func loss(ofHanging served: ServedImage, after seconds: Int) -> ConfigurationError {
        let dirtyPages = served.provider.dirtyPages
        let what =
            dirtyPages > 0
            ? "\(dirtyPages) pages of 4096 bytes are not on \(served.label) and \(fate)"
            : "data written to \(served.label) could not be made durable and may be lost"
        return ConfigurationError("\(what): \(Serving.silence(of: seconds))")
    }

    private func loss(of served: ServedImage, _ error: AccessError) -> ConfigurationError {
        let (provider, dirtyPages) = (served.provider, served.provider.dirtyPages)
        let what =
            provider.lost == nil || dirtyPages > 0
            ? "\(dirtyPages) pages of 4096 bytes could not be written to \(served.label) and \(fate)"
            : "data written to \(served.label) could not be made durable and may be lost"
        return ConfigurationError("\(what): \(Errno(rawValue: error.code))")
    }
}
