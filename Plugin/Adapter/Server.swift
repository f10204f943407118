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
    private var settings = Settings()
    private var image: ImageFile?
    private var serving: Serving?

    init(log: @escaping @Sendable (String) -> Void) {
        self.log = log
    }

    /// Takes one `key=value` of the command line.
    func configure(_ key: String, _ value: String) throws(Complaint) {
        try settings.set(key, value)
    }

    /// Checks what was configured as a whole.
    func check() throws(Complaint) {
        _ = try settings.requireFile()
        try check(memoryBound: MemoryBound.tightest())
    }

    /// Checks memory= against what there is.
    func check(memoryBound: MemoryBound?) throws(Complaint) {
        guard let memoryBound, settings.memory > memoryBound.bytes else { return }
        throw Complaint(
            "memory", settings.memoryText,
            "this is more than the \(ByteCount.roughly(memoryBound.bytes)) that \(memoryBound.owner)",
            wanted: "less than that")
    }

    /// Whether the server's threads are to be scheduled as SCHED_BATCH.
    var isBatch: Bool { settings.scheduling == .batch }

    /// Opens the image. Hands back what is good to know of it.
    func openImage() throws(Complaint) -> String {
        let file = try settings.requireFile()
        do {
            let image = try ImageFile(path: FilePath(file), direct: settings.direct, lock: settings.lock)
            self.image = image
            return note(of: image, file)
        } catch {
            throw Complaint("file=\(error)")
        }
    }

    /// Takes the memory and starts serving.
    func begin() throws(Complaint) -> String {
        guard let image else { throw Complaint("there is no open image to serve") }
        do {
            serving = try Serving(image, settings, log: log)
        } catch {
            throw Complaint(
                "memory", settings.memoryText, "it cannot be had (\(Errno(rawValue: error.code)))",
                wanted: "what the system can give")
        }
        return "memory: \(settings.memory) bytes for pages and what describes them"
    }

    /// Brings everything to its end. Hands back the counters, and what went wrong. Does no harm to a server that never
    /// began.
    func end() -> (counters: String?, error: Complaint?) {
        guard let serving else { return (nil, nil) }
        let error = serving.end()
        let counters = counters
        self.serving = nil
        return (counters, error)
    }

    /// A client for one connection. One that may write keeps other writers from the image.
    func connect(isReadOnly: Bool) throws(Complaint) -> Client {
        guard let serving else { throw Complaint("a client came before serving had begun, or after its end") }
        let image = serving.image
        let canWrite = !isReadOnly && image.isWritable
        if canWrite { try beginWriting(image) }
        do {
            let pager = Pager(try serving.open(), writeThrough: settings.isWriteThrough)
            return Client(self, pager, canWrite: canWrite, isRotational: image.isRotational)
        } catch {
            if canWrite { image.endWriting() }
            throw Complaint("the image cannot be served to one more client (\(Errno(rawValue: error.code)))")
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
            + "allowed_dirty_pages=\(counters.allowedDirtyPages) dirty_waits=\(counters.dirtWaits) "
        return reading + writing
            + "bytes_in_use=\(counters.bytesInUse) peak_bytes_in_use=\(counters.peakBytesInUse) "
            + "memory=\(settings.memory)"
    }

    private func beginWriting(_ image: ImageFile) throws(Complaint) {
        do {
            try image.beginWriting()
        } catch {
            throw Complaint("file=\(error)")
        }
    }

    private func note(of image: ImageFile, _ file: String) -> String {
        var lines = ["\(image.size) bytes, direct I/O: \(image.isDirect ? "yes" : "no")"]
        if settings.direct == .auto && !image.isDirect {
            lines.append("direct I/O is refused here; the host's page cache is used, and dropped behind each use")
        }
        if let reason = image.readOnlyReason {
            lines.append("served read-only: \(reason)")
        }
        return lines.map { "file=\(file): \($0)" }.joined(separator: "\n")
    }
}
