import Accessors
import Paging
import SystemPackage

/// The whole of what one nbdkit serves: what was configured, then the open image, then what serves it.
///
/// Its calls come one at a time, in the order in which they stand here, from threads of their own (Interface.h); only
/// those about clients come from any thread, between `begin` and `end`, when nothing here changes any more.
final class Server: @unchecked Sendable {
    /// Prints one line that a person should see. Any thread.
    private let log: @Sendable (String) -> Void
    /// Does not return where no image may be let go any more. Any thread.
    private let gate: @Sendable () -> Void
    private var settings = Settings()
    private var image: (any ImageSource)?
    private var serving: Serving?
    /// What brings out what is dirty when the process is about to die. It stays when serving has ended, because it is
    /// asked by a thread that knows nothing of that; it does nothing then.
    private(set) var will: LastWill?

    init(log: @escaping @Sendable (String) -> Void, gate: @escaping @Sendable () -> Void = {}) {
        self.log = log
        self.gate = gate
    }

    /// Takes one `key=value` of the command line.
    func configure(_ key: String, _ value: String) throws(ConfigurationError) {
        try settings.set(key, value)
    }

    /// Checks what was configured as a whole.
    func check() throws(ConfigurationError) {
        _ = try settings.requireFile()
        try check(memoryBound: MemoryBound.tightest())
    }

    /// Checks memory= against what there is.
    func check(memoryBound: MemoryBound?) throws(ConfigurationError) {
        guard let memoryBound, settings.memory > memoryBound.bytes else { return }
        throw ConfigurationError(
            "memory", settings.memoryText,
            "more than the \(ByteCount.roughly(memoryBound.bytes)) that \(memoryBound.owner)",
            expected: "no more than that")
    }

    /// Whether the server's threads are to be scheduled as SCHED_BATCH.
    var isBatch: Bool { settings.scheduling == .batch }

    /// Seconds that the last will may take; 0 where there is to be none.
    var secondsOfLastWill: Int { settings.lastWill }

    /// Opens the image, and checks what can be known of serving it: what fails after the fork is told to fewer people.
    /// Hands back what is good to know of it, and what a person should see.
    func openImage() throws(ConfigurationError) -> (note: String, warning: String?) {
        let opened = try OpenedSource(settings)
        try check(sizeOf: opened.image)
        try checkMemory()
        image = opened.image
        return (opened.note, opened.warnings.isEmpty ? nil : opened.warnings.joined(separator: "\n"))
    }

    /// The descriptors of the open image.
    var descriptors: [Int32] { image?.descriptors ?? [] }

    /// Takes the memory and starts serving.
    func begin() throws(ConfigurationError) -> String {
        guard let image else { throw ConfigurationError("there is no open image to serve") }
        let serving = try Serving(image, settings, log: log, gate: gate)
        self.serving = serving
        will = serving.pages.will
        return "memory: \(settings.memory) bytes for pages and what describes them"
    }

    /// Brings to the image what is not there yet, durably. What keeps it from there is told when it begins.
    /// - Returns: False where it cannot be brought.
    func flushIfChanged() -> Bool { serving?.flushIfChanged() ?? true }

    /// Brings everything to its end. Hands back the counters, and what went wrong. Does no harm to a server that never
    /// began.
    func end() -> (counters: String?, error: ConfigurationError?) {
        guard let serving else { return (nil, nil) }
        let error = serving.end()
        let counters = counters
        self.serving = nil
        return (counters, error)
    }

    /// A client for one connection, and what is good to know. One that may write keeps other writers from the image.
    func connect(isReadOnly: Bool) throws(ConfigurationError) -> (client: Client, note: String?) {
        guard let serving else { throw ConfigurationError("a client came before serving had begun, or after its end") }
        let canWrite = !isReadOnly && serving.image.isWritable
        let forgotten = try letIn(to: serving, canWrite: canWrite)
        do {
            let pager = Pager(try serving.open(), writeThrough: settings.cache == .writethrough)
            let client = Client(self, pager, canWrite: canWrite, isRotational: serving.image.isRotational)
            return (client, forgotten > 0 ? Self.note(forgotten: forgotten) : nil)
        } catch {
            if canWrite { serving.image.endWriting() }
            throw ConfigurationError("the image cannot be served to one more client (\(Errno(rawValue: error.code)))")
        }
    }

    /// Ends what `connect` began. A client that leaves after `end` has nothing to give back.
    func disconnect(_ client: Client) {
        guard let serving else { return }
        if client.canWrite, let error = serving.endWriting() {
            log(
                "a client left, and what was written is not all on the image yet: \(Errno(rawValue: error.code)); it "
                    + "stays in memory\(settings.lock == .on ? ", and the image locked," : "") and is tried again")
        }
        serving.close(client.pager.provider)
    }

    /// What has been counted so far, in words.
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

    /// Lets a client in.
    /// - Returns: How many cached pages others may have changed, and have been forgotten.
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

    /// Tells if the image's path has come to lead elsewhere: where that is, nobody will find what is written.
    func tellOfName() {
        if let news = serving?.image.newsOfName() { log("\(OpenedSource.key)=\(news)") }
    }

    private static func note(forgotten pages: Int) -> String {
        "others may have changed the image while no client here could write it: "
            + "\(pages) cached pages of 4096 bytes are forgotten"
    }

    private func check(sizeOf image: any ImageSource) throws(ConfigurationError) {
        guard image.size > Pages.maxImageSize else { return }
        throw ConfigurationError(
            "\(OpenedSource.key)=\(image.label): the image has \(image.size) bytes; expected at most \(Pages.maxImageSize)"
        )
    }

    /// Whether the memory can be had now. It is taken after the fork.
    private func checkMemory() throws(ConfigurationError) {
        do throws(AccessError) {
            try Pages.check(memory: settings.memory)
        } catch {
            throw settings.refusal(ofMemory: error)
        }
    }
}
