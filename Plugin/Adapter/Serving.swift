import Accessors
import Paging
import SystemPackage

/// What it takes to serve an image, from after the fork to the end: the Pages, the registry, the image's Provider, and
/// the Writeback where the image can be written, and the Prefetcher.
///
/// It holds one use of the Provider as long as it lives, so that what was read for one client is still there for the
/// next one. `end` is called once, when no request is under way any more.
final class Serving: Sendable {
    let image: any ImageSource
    let pages: Pages
    private let registry: ProviderRegistry
    private let provider: Provider
    private let writeback: Writeback?
    private let prefetcher: Prefetcher?
    private let gate: @Sendable () -> Void

    /// Takes the memory and starts the threads.
    /// - Parameter gate: Called before the image is let go; does not return where it must not be any more.
    /// - Throws: Which of them cannot be had, and why.
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

    /// The memory, and the image's Provider in it.
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
            "cannot start a thread: \(Errno(rawValue: error.code)); raise the limit of processes (ulimit -u), or "
                + "pids.max of the control group")
    }

    /// One user of the Provider more.
    func open() throws(AccessError) -> Provider {
        let image = image
        return try registry.open(image.identity) { () throws(AccessError) in image }
    }

    /// One user less.
    func close(_ provider: Provider) {
        // It is not the last one, unless the end is under way, which tells by itself what cannot be written.
        _ = try? registry.close(provider)
    }

    /// A client that may write is about to be let in. What is cached is forgotten where others may have changed the
    /// image while there was none.
    /// - Returns: How many cached pages that were.
    func beginWriting() throws -> Int {
        var forgotten = 0
        try image.beginWriting { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// The same for a client that only reads.
    func beginReading() -> Int {
        var forgotten = 0
        image.beginReading { forgotten = provider.forgetImage() }
        return forgotten
    }

    /// A client that could write is gone. What was written is brought to the image before other writers are let in
    /// there; where that fails it stays in memory, and the image locked, until the Writeback has done it.
    /// - Returns: Why it is not there yet, or nil.
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

    /// What a person is told when what clients left behind has been dealt with.
    private static func line(completed count: Int, lost: AccessError?) -> String {
        let clients = count == 1 ? "a client that has left" : "\(count) clients that have left"
        return lost == nil
            ? "all that was written by \(clients) is on the image now, and synced"
            : "what is in memory of \(clients) is on the image now; what a failed sync has lost is not"
    }

    /// Brings what was written to the image, durably, unless nothing has been written since this did so last. One
    /// thread at a time.
    /// - Returns: False where that fails.
    func flushIfChanged() -> Bool {
        do throws(AccessError) {
            if image.isWritable { try provider.flushIfChanged() }
            return true
        } catch {
            return false
        }
    }

    /// Brings what was written to the image, and stops. Hands back what went wrong. nbdkit calls no close for clients
    /// that are still there, so the flush does not wait for the last user to leave.
    func end() -> ConfigurationError? {
        var failure: ConfigurationError?
        do {
            if image.isWritable { try provider.flushAtLast() }
            try registry.close(provider)
        } catch {
            let what =
                provider.lost == nil || pages.counters.dirtyPages > 0
                ? "\(pages.counters.dirtyPages) pages of 4096 bytes could not be written to \(image.label) and are lost"
                : "what was written to \(image.label) could not be made durable and may be lost"
            failure = ConfigurationError("\(what): \(Errno(rawValue: error.code))")
        }
        writeback?.stop()
        prefetcher?.stop()
        return failure
    }
}

extension Notice {
    /// What a person is told.
    var line: String {
        switch self {
        case .writeOutFails(let error, let dirtyPages):
            "writing to the image fails (\(Errno(rawValue: error.code))); \(dirtyPages) pages of 4096 bytes stay in memory "
                + "and are tried again; every flush fails until they are out"
        case .writeOutWorksAgain(let failures):
            "writing to the image works again, after \(failures) failures; all that was kept in memory is out"
        case .syncFailed(let error, let isLost):
            "making the image durable failed (\(Errno(rawValue: error.code))); "
                + (isLost
                    ? "what was written before may be lost, and every flush fails until the server is started anew"
                    : "what was written since the last good sync is in memory and is written again")
        case .syncWorksAgain(let failures):
            "making the image durable works again, after \(failures) failures; nothing is lost"
        }
    }
}
