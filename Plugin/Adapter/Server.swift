import Accessors
import Paging
import SystemPackage

/// The whole of what one nbdkit serves: what was configured, then the open image, then the pages and the image's Provider.
///
/// Its calls come one at a time, in the order in which they stand here, from threads of their own (Interface.h); only
/// `connect` comes from any thread, between `begin` and `end`, when nothing here changes any more.
///
/// It holds one use of the Provider as long as it serves, so that what was read for one client is still there for the
/// next one.
final class Server: @unchecked Sendable {
    /// What it takes to serve; there between `begin` and `end`.
    private struct Serving {
        let pages: Pages
        let registry: ProviderRegistry
        let provider: Provider
        let writeback: Writeback
    }

    private var settings = Settings()
    private var image: ImageFile?
    private var serving: Serving?
    private let tell: @Sendable (String) -> Void

    /// - Parameter tell: Takes lines about the server as a whole, for whoever runs it, from any thread.
    init(tell: @escaping @Sendable (String) -> Void = { _ in }) {
        self.tell = tell
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
            "memory", settings.memoryText, "this is more than the \(ByteCount.roughly(memoryBound.bytes)) that "
                + memoryBound.owner, wanted: "less than that")
    }

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
            let pages = try makePages()
            let registry = ProviderRegistry(pages: pages)
            let provider = try registry.open(image.identity) { () throws(AccessError) in image }
            image.privilegesSettled()
            let writeback = Writeback(pages: pages, registry: registry, dirtyAge: settings.dirtyAge * 1000)
            serving = Serving(pages: pages, registry: registry, provider: provider, writeback: writeback)
        } catch {
            throw Complaint(
                "memory", settings.memoryText, "it cannot be had (\(Errno(rawValue: error.code)))",
                wanted: "what the system can give")
        }
        return "memory: \(settings.memory) bytes for pages and what describes them"
    }

    /// The arena, and who is told of troubles with it.
    private func makePages() throws(AccessError) -> Pages {
        let file = settings.file ?? ""
        let share = Double(settings.dirtyPercent) / 100
        return try Pages(memory: settings.memory, dirtyShare: share) { [tell] in tell($0.text(of: file)) }
    }

    /// Brings everything to its end: what was written goes to the image, and is durable. Does no harm to a server that
    /// never began.
    ///
    /// Clients may be there still, of whom nbdkit will not say that they leave, but no requests of theirs. The lock on the
    /// image goes with the process.
    /// - Returns: The counters, and what is lost, if something is.
    func end() -> (counters: String?, loss: Complaint?) {
        guard let serving else { return (nil, nil) }
        let loss = finalWriteback(serving)
        serving.writeback.stop()
        let counters = counters
        self.serving = nil
        return ("counters: \(counters)", loss)
    }

    private func finalWriteback(_ serving: Serving) -> Complaint? {
        guard image?.isWritable == true else { return nil }
        do {
            try serving.provider.flush()
            return nil
        } catch {
            let reason = Errno(rawValue: error.code)
            return Complaint(
                "file=\(settings.file ?? ""): the server ends, and what clients have written could not all be brought to "
                    + "the image (\(reason)); \(serving.pages.counters.dirtyPages) base pages of 4096 bytes are lost")
        }
    }

    /// A client for one connection. One that may write keeps other writers from the image.
    func connect(isReadOnly: Bool) throws(Complaint) -> Client {
        guard let serving, let image else { throw Complaint("a client came before serving had begun, or after its end") }
        let canWrite = !isReadOnly && image.isWritable
        if canWrite { try beginWriting(image) }
        do {
            let provider = try serving.registry.open(image.identity) { () throws(AccessError) in image }
            let pager = Pager(provider, writeThrough: settings.cache == .writethrough)
            return Client(self, pager, canWrite: canWrite, isRotational: image.isRotational)
        } catch {
            if canWrite { image.endWriting() }
            throw Complaint("the image cannot be served to one more client (\(Errno(rawValue: error.code)))")
        }
    }

    /// Ends what `connect` began. A client that leaves after `end` has nothing to give back.
    /// - Throws: where what it wrote is not durable.
    func disconnect(_ client: Client) throws(Complaint) {
        guard let serving else { return }
        // The server's own use of the Provider remains: this is never the last one, which could fail.
        defer { try? serving.registry.close(client.pager.provider) }
        guard client.canWrite else { return }
        do {
            try endWriting(client)
        } catch {
            throw Complaint(
                "file=\(settings.file ?? ""): a client has left, and what was written is not all on the image "
                    + "(\(Errno(rawValue: error.code))); it is kept in memory and tried again")
        }
    }

    private func beginWriting(_ image: ImageFile) throws(Complaint) {
        do {
            try image.beginWriting()
        } catch {
            throw Complaint("file=\(error)")
        }
    }

    /// The lock is given back when what it guards is on the image. What cannot be brought there stays dirty, and the image
    /// locked, for the next flush or the end to deal with.
    private func endWriting(_ client: Client) throws(AccessError) {
        try client.pager.flush()
        image?.endWriting()
    }

    /// What has been counted so far, in words.
    var counters: String {
        guard let counters = serving?.pages.counters else { return "not serving" }
        return "hits=\(counters.hits) misses=\(counters.misses) fills=\(counters.fills) "
            + "failed_fills=\(counters.failedFills) recycles=\(counters.recycles) waits=\(counters.waits) "
            + "writes=\(counters.writes) pages_written=\(counters.pagesWritten) "
            + "failed_writes=\(counters.failedWrites) dirty_pages=\(counters.dirtyPages) "
            + "bytes_in_use=\(counters.bytesInUse) peak_bytes_in_use=\(counters.peakBytesInUse) "
            + "memory=\(settings.memory)"
    }

    private func note(of image: ImageFile, _ file: String) -> String {
        var note = "file=\(file): \(image.size) bytes, direct I/O: \(image.isDirect ? "yes" : "no")"
        if settings.direct == .auto && !image.isDirect {
            note += "\nfile=\(file): direct I/O is refused here; the host's page cache is used, and what was read "
                + "is dropped from it at once"
        }
        if let reason = image.readOnlyReason {
            note += "\nserved read-only: \(reason)"
        }
        return note
    }
}
