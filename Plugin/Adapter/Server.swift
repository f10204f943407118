import Accessors
import Paging
import SystemPackage

/// Everything that one nbdkit process serves: first the configuration, then the open image, then what serves it.
///
/// Its calls come one at a time, in the order of this file, each from a thread of its own (Interface.h). Calls about
/// clients are the exception. They come from any thread, between `begin` and `end`, while nothing here changes.
final class Server: @unchecked Sendable {
    /// Prints one line that a person should see. Any thread.
    private let log: @Sendable (String) -> Void
    /// Called before an image is released. Does not return while a last will is being executed. Any thread.
    private let gate: @Sendable () -> Void
    private var settings = Settings()
    private var image: (any ImageSource)?
    private var serving: Serving?
    /// Writes dirty data to the image when the process is about to die. It outlives serving, because the thread that
    /// calls it does not know when serving ends. It does nothing then.
    private(set) var will: LastWill?

    init(log: @escaping @Sendable (String) -> Void, gate: @escaping @Sendable () -> Void = {}) {
        self.log = log
        self.gate = gate
    }

    /// Takes one `key=value` of the command line.
    func configure(_ key: String, _ value: String) throws(ConfigurationError) {
        try settings.set(key, value)
    }

    /// Checks the configuration as a whole.
    func check() throws(ConfigurationError) {
        _ = try settings.requireFile()
        try check(memoryBound: MemoryBound.tightest())
    }

    /// Checks memory= against a bound.
    func check(memoryBound: MemoryBound?) throws(ConfigurationError) {
        guard let memoryBound, settings.memory > memoryBound.bytes else { return }
        throw ConfigurationError(
            "memory", settings.memoryText,
            "more than the \(ByteCount.roughly(memoryBound.bytes)) that \(memoryBound.owner)",
            expected: "at most \(ByteCount.roughly(memoryBound.bytes))")
    }

    /// Whether the kernel should schedule the server's threads as SCHED_BATCH.
    var isBatch: Bool { settings.scheduling == .batch }

    /// Seconds that the last will may take; 0 for no last will.
    var secondsOfLastWill: Int { settings.lastWill }

    /// Opens the image, and checks before the fork as much as can be checked, while a person sees the errors.
    /// - Returns: A note for the debug log, and a warning for the person who starts the server.
    func openImage() throws(ConfigurationError) -> (note: String, warning: String?) {
        let opened = try OpenedSource(settings)
        try check(sizeOf: opened.image)
        try checkMemory()
        image = opened.image
        return (opened.note, opened.warnings.isEmpty ? nil : opened.warnings.joined(separator: "\n"))
    }

    /// The descriptors of the open image.
    var descriptors: [Int32] { image?.descriptors ?? [] }

    /// Allocates the memory and starts serving.
    /// - Returns: A note for the debug log.
    func begin() throws(ConfigurationError) -> String {
        guard let image else { throw ConfigurationError("there is no open image to serve") }
        let serving = try Serving(image, settings, log: log, gate: gate)
        self.serving = serving
        will = serving.pages.will
        return "memory: \(settings.memory) bytes for cached pages and their tables"
    }

    /// Writes everything dirty to the image and makes it durable. A new failure is logged.
    /// - Returns: Whether that succeeded.
    func flushIfChanged() -> Bool { serving?.flushIfChanged() ?? true }

    /// Ends serving. Does nothing if it never began.
    /// - Returns: The counters, and the error if data could not be written.
    func end() -> (counters: String?, error: ConfigurationError?) {
        guard let serving else { return (nil, nil) }
        let error = serving.end()
        let counters = counters
        self.serving = nil
        return (counters, error)
    }

    /// Opens a connection. A client that may write locks the image against other writers.
    /// - Returns: The client, and a note for the debug log.
    func connect(isReadOnly: Bool) throws(ConfigurationError) -> (client: Client, note: String?) {
        guard let serving else { throw ConfigurationError("a client connected before serving began or after it ended") }
        let canWrite = !isReadOnly && serving.image.isWritable
        let forgotten = try letIn(to: serving, canWrite: canWrite)
        do {
            let pager = Pager(try serving.open(), writeThrough: settings.cache == .writethrough)
            let client = Client(self, pager, canWrite: canWrite, isRotational: serving.image.isRotational)
            return (client, forgotten > 0 ? Self.note(forgotten: forgotten) : nil)
        } catch {
            if canWrite { serving.image.endWriting() }
            throw ConfigurationError("cannot serve the image to another client (\(Errno(rawValue: error.code)))")
        }
    }

    /// Closes a connection. After `end` there is nothing left to release.
    func disconnect(_ client: Client) {
        guard let serving else { return }
        if client.canWrite, let error = serving.endWriting() {
            let lock = settings.lock == .on ? ", and the image stays locked" : ""
            log(
                "a client left before all written data was on the image and synced: \(Errno(rawValue: error.code)); "
                    + "the data stays in memory and is retried\(lock)")
        }
        serving.close(client.pager.provider)
    }

    /// The counters so far, as `name=value` words. The man page documents each.
    var counters: String {
        guard let counters = serving?.pages.counters else { return "not serving" }
        let reading =
            "hits=\(counters.hits) misses=\(counters.misses) zero_hits=\(counters.zeroHits) "
            + "known_zeroes=\(counters.knownZeroes) fills=\(counters.fills) "
            + "failed_fills=\(counters.failedFills) recycles=\(counters.recycles) moves=\(counters.moves) "
            + "waits=\(counters.waits) "
        let writing =
            "writes=\(counters.writes) pages_written=\(counters.pagesWritten) "
            + "failed_writes=\(counters.failedWrites) dirty_pages=\(counters.dirtyPages) "
            + "allowed_dirty_pages=\(counters.allowedDirtyPages) dirty_waits=\(counters.dirtyWaits) "
        return reading + writing
            + "bytes_in_use=\(counters.bytesInUse) peak_bytes_in_use=\(counters.peakBytesInUse) "
            + "memory=\(settings.memory)"
    }

    /// Admits a client.
    /// - Returns: The number of cached pages that were discarded because others may have changed them.
    private func letIn(to serving: Serving, canWrite: Bool) throws(ConfigurationError) -> Int {
        guard canWrite else { return serving.beginReading() }
        do {
            let forgotten = try serving.beginWriting()
            tellOfName()
            return forgotten
        } catch {
            throw ConfigurationError("\(OpenedSource.key)=\(error)")
        }
    }

    /// Logs if the image's path leads elsewhere by now. Whoever opens that path will not find what clients write.
    func tellOfName() {
        if let news = serving?.image.newsOfName() { log("\(OpenedSource.key)=\(news)") }
    }

    private static func note(forgotten pages: Int) -> String {
        "others may have changed the image: \(pages) cached pages of 4096 bytes are discarded"
    }

    private func check(sizeOf image: any ImageSource) throws(ConfigurationError) {
        guard image.size > Pages.maxImageSize else { return }
        throw ConfigurationError(
            "\(OpenedSource.key)=\(image.label): the image has \(image.size) bytes; expected at most "
                + "\(Pages.maxImageSize)")
    }

    /// Checks that the memory can be allocated. It is allocated after the fork.
    private func checkMemory() throws(ConfigurationError) {
        do throws(AccessError) {
            try Pages.check(memory: settings.memory)
        } catch {
            throw settings.refusal(ofMemory: error)
        }
    }
}
