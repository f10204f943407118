import Accessors
import Paging
import SystemPackage

/// Everything that serves an image, from after the fork to the end: the Pages, the registry, the image's Provider, the
/// Prefetcher, and the Writeback if the image is writable.
///
/// It holds one use of the Provider as long as it lives, so that pages read for one client stay cached for the next.
/// `end` is called once, when no request is under way any more.
final class Serving: Sendable {
    let image: any ImageSource
    let pages: Pages
    private let registry: ProviderRegistry
    private let provider: Provider
    private let writeback: Writeback?
    private let prefetcher: Prefetcher?
    private let gate: @Sendable () -> Void

    /// Allocates the memory and starts the threads.
    /// - Parameter gate: Called before the image is released. Does not return if it must not be released any more.
    /// - Throws: The reason why memory or threads are not available.
    init(
        _ image: any ImageSource, _ settings: Settings, log: @escaping @Sendable (String) -> Void,
        gate: @escaping @Sendable () -> Void
    ) throws(ConfigurationError) {
        self.image = image
        self.gate = gate
        let (pages, registry, provider) = try Serving.open(image, settings, log)
        (self.pages, self.registry, self.provider) = (pages, registry, provider)
        image.privilegesDropped()
        do throws(AccessError) {
            prefetcher = settings.readahead > 0 ? try Prefetcher(pages: pages) : nil
        } catch {
            throw Serving.refusal(ofThread: error)
        }
        do throws(AccessError) {
            writeback =
                image.isWritable
                ? try Writeback(pages: pages, registry: registry, dirtyAge: settings.dirtyAge) { provider, count in
                    gate()
                    for _ in 0..<count { image.endWriting() }
                    log(Serving.line(completed: count, lost: provider.lost))
                } : nil
        } catch {
            prefetcher?.stop()
            throw Serving.refusal(ofThread: error)
        }
    }

    /// Allocates the memory, and opens the image's Provider in it.
    private static func open(
        _ image: any ImageSource, _ settings: Settings, _ log: @escaping @Sendable (String) -> Void
    ) throws(ConfigurationError) -> (Pages, ProviderRegistry, Provider) {
        do throws(AccessError) {
            let pages = try Pages(
                memory: settings.memory, dirtyShare: settings.dirtyShare, flushTime: settings.flushTime,
                readahead: settings.readahead
            ) { log($0.line) }
            let registry = ProviderRegistry(pages: pages)
            return (pages, registry, try registry.open(image.identity) { () throws(AccessError) in image })
        } catch {
            throw settings.refusal(ofMemory: error)
        }
    }

    private static func refusal(ofThread error: AccessError) -> ConfigurationError {
        ConfigurationError(
            "cannot start a thread: \(Errno(rawValue: error.code)); raise the process limit (ulimit -u) or the control "
                + "group's pids.max")
    }

    /// Adds a user of the Provider.
    func open() throws(AccessError) -> Provider {
        let image = image
        return try registry.open(image.identity) { () throws(AccessError) in image }
    }

    /// Removes a user of the Provider.
    func close(_ provider: Provider) {
        // It is the last user only if `end` is running, which reports itself what cannot be written.
        _ = try? registry.close(provider)
    }

    /// Prepares for a client that may write. Discards the cache if others may have changed the image while no client
    /// here could write it.
    /// - Returns: The number of cached pages that were discarded.
    func beginWriting() throws -> Int {
        var forgotten = 0
        try image.beginWriting { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// Prepares for a client that only reads, in the same way.
    func beginReading() -> Int {
        var forgotten = 0
        image.beginReading { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// A client that could write is gone. Its data is flushed before the image is released to other writers. If that
    /// fails, the data stays in memory, and the image stays locked, until the Writeback has succeeded.
    /// - Returns: The error, or nil if everything is on the image.
    func endWriting() -> AccessError? {
        do throws(AccessError) {
            try provider.flush()
        } catch {
            provider.leaveFlush()
            return error
        }
        gate()
        image.endWriting()
        return nil
    }

    /// The line in the log when the data that clients left behind has been flushed.
    private static func line(completed count: Int, lost: AccessError?) -> String {
        let clients = count == 1 ? "a client that has left" : "\(count) clients that have left"
        return lost == nil
            ? "everything written by \(clients) is now on the image and synced"
            : "data still in memory from \(clients) is now on the image; data lost in a failed sync is not"
    }

    /// Flushes, unless nothing has been written since the last call. One thread at a time.
    /// - Returns: Whether that succeeded.
    func flushIfChanged() -> Bool {
        do throws(AccessError) {
            if image.isWritable { try provider.flushIfChanged() }
            return true
        } catch {
            return false
        }
    }

    /// Flushes one last time, and stops the threads. Does not wait for clients: nbdkit calls no close for those that
    /// are still connected.
    /// - Returns: The error if data could not be written.
    func end() -> ConfigurationError? {
        var failure: ConfigurationError?
        do {
            if image.isWritable { try provider.flushAtLast() }
            try registry.close(provider)
        } catch {
            let what =
                provider.lost == nil || pages.counters.dirtyPages > 0
                ? "\(pages.counters.dirtyPages) pages of 4096 bytes could not be written to \(image.label) and are lost"
                : "data written to \(image.label) could not be made durable and may be lost"
            failure = ConfigurationError("\(what): \(Errno(rawValue: error.code))")
        }
        writeback?.stop()
        prefetcher?.stop()
        return failure
    }
}
