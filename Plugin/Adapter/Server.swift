import Accessors
import Paging
import SystemPackage

/// Everything that one nbdkit process serves: first the configuration, then the images or where they are, then what
/// serves them.
///
/// Its calls come one at a time, in the order of this file, each from a thread of its own (Interface.h). Calls about
/// clients are the exception. They come from any thread, between `begin` and `end`, while nothing here changes.
final class Server: @unchecked Sendable {
    /// Prints one line that a person should see. Any thread.
    private let log: @Sendable (String) -> Void
    /// Called before an image is released. Does not return while a last will is being executed. Any thread.
    private let gate: @Sendable () -> Void
    private(set) var settings: Settings
    /// What a filter serves; nil in a plugin.
    private let layer: GlueLayer?
    private(set) var source: OpenedSource?
    /// Why a control group may leave too little beside memory=; nil if there is room.
    private var doubt: String?
    /// What the last server has left, and the next one is to find; nil without state=.
    private var inheritance: Inheritance?
    /// What warm= keeps; nil without it.
    private var warmth: Warmth?
    private(set) var serving: Serving? {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
    /// An order of the control socket may outlast `end`, if a disk holds it up.
    private let current = Guarded<Serving?>(nil)
    /// Where figures are told and orders taken; nil without control=.
    private var controlSocket: ControlSocket?
    private var control: ControlServer?
    let orders = ControlOrders()
    /// Whether a client is told what is in memory.
    let isTellingResidents = Guarded(false)
    /// Whether the end has given up on a disk that hangs: threads still use what serves.
    private(set) var hasGivenUp = false
    /// The last progress seen after a quit signal, and when.
    private var lastProgress: (progress: UInt64, time: Int)?
    /// Chooses the policy for scheduling=auto. Only the thread that watches uses it.
    var schedulingJudge = SchedulingJudge()
    /// The clients that are being connected.
    private let connects = Connects()
    /// Writes dirty data to the image when the process is about to die. It outlives serving, because the thread that
    /// calls it does not know when serving ends. It does nothing then.
    private(set) var will: LastWill?

    /// - Parameter layer: What a filter serves; nil in a plugin.
    init(
        over layer: GlueLayer? = nil, log: @escaping @Sendable (String) -> Void,
        gate: @escaping @Sendable () -> Void = {}
    ) {
        self.layer = layer
        self.log = log
        self.gate = gate
        settings = Settings(layer == nil ? .plugin : .filter)
    }

    /// Takes one `key=value` of the command line.
    func configure(_ key: String, _ value: String) throws(ConfigurationError) {
        try settings.set(key, value)
    }

    /// Checks the configuration as a whole.
    func check() throws(ConfigurationError) {
        try settings.check()
        let group = MemoryBound.ofGroups()
        try check(memoryBound: MemoryBound.tightest(group: group))
        doubt = group?.doubt(about: settings.memory, settings.memoryText)
    }

    /// Checks memory= against a bound.
    func check(memoryBound: MemoryBound?) throws(ConfigurationError) {
        guard let memoryBound, settings.memory > memoryBound.bytes else { return }
        throw ConfigurationError(
            "memory", settings.memoryText,
            "more than the \(ByteCount.roughly(memoryBound.bytes)) that \(memoryBound.owner)",
            expected: "at most \(ByteCount.roughly(memoryBound.bytes))")
    }

    /// Whether the kernel should schedule the server's threads as SCHED_BATCH, whatever else the machine does.
    var isBatch: Bool { settings.scheduling == .batch }

    /// Whether the kernel should schedule them as `schedulingJudge` says.
    var isAuto: Bool { settings.scheduling == .auto }

    /// Seconds that the last will may take; 0 for no last will.
    var secondsOfLastWill: Int { settings.lastWill }

    /// Opens the image, or the directory of images. Checks before the fork as much as can be checked, while a person
    /// sees the errors.
    /// - Returns: A note for the debug log, and a warning for the person who starts the server.
    func openImage() throws(ConfigurationError) -> (note: String, warning: String?) {
        try settings.check()
        try checkMemory()
        let log = log
        let inheritance = try settings.state.map { (path) throws(ConfigurationError) in
            try Inheritance(settings, at: path) { log($0) }
        }
        do throws(ConfigurationError) {
            return try open(inheritance)
        } catch {
            inheritance?.discardIfNew()
            throw error
        }
    }

    private func open(_ inheritance: Inheritance?) throws(ConfigurationError) -> (note: String, warning: String?) {
        let log = log
        let notice = inheritance.map { _ in SlowNotice { log($0) } }
        let opened =
            if let layer {
                try OpenedSource(layer, settings) { log($0) }
            } else {
                try OpenedSource(settings, mark: inheritance?.mark, notice)
            }
        if let inheritance, let notice { try inheritance.inherit(opened, notice) }
        self.inheritance = inheritance
        warmth = try settings.warm.map { (path) throws(ConfigurationError) in try Warmth(path) { log($0) } }
        controlSocket = try settings.control.map { (path) throws(ConfigurationError) in
            try ControlSocket(path, mode: settings.controlMode)
        }
        source = opened
        let warnings =
            [doubt].compactMap(\.self) + opened.warnings + (inheritance?.warnings ?? [])
            + (warmth?.warning.map { [$0] } ?? [])
        return (opened.note, warnings.isEmpty ? nil : warnings.joined(separator: "\n"))
    }

    /// The descriptors of the open image, or of the directory of images, and of the state file.
    var descriptors: [Int32] {
        (source?.descriptors ?? []) + (inheritance?.descriptors ?? []) + (controlSocket.map { [$0.number] } ?? [])
    }

    /// Allocates the memory and starts serving.
    /// - Returns: A note for the debug log.
    func begin() throws(ConfigurationError) -> String {
        guard let source else { throw ConfigurationError("there is no open image to serve") }
        let serving: Serving
        do throws(ConfigurationError) {
            serving = try Serving(
                keeping: source.image, isShared: source.hasSeveralImages, settings, inheritance, warmth, log: log,
                gate: gate)
        } catch {
            stopControl()
            inheritance?.discardIfNew()
            throw error
        }
        self.serving = serving
        will = serving.pages.will
        if let controlSocket {
            control = ControlServer(controlSocket) { self.carryOut($0, for: $1) }
            if control == nil { log("control=: the server cannot start a thread for it, and serves without it") }
        }
        return "memory: \(settings.memory) bytes for cached pages and their tables"
    }

    /// Writes everything dirty to the image and makes it durable. A new failure is logged.
    /// - Returns: Whether that succeeded.
    func flushIfChanged() -> Bool { serving?.flushIfChanged() ?? true }

    /// After a quit signal: whether nothing has been done for any image for end-time=, although something is to be
    /// done: a flush, a request of a client, or opening an image for a client. nbdkit waits for all of these.
    /// A disk that fails is another matter: it is tried again as long as the process lives. Called again and again by
    /// one thread.
    /// - Parameter now: Seconds of a clock that is never set back.
    /// - Returns: Nil, or the errors with which the process should end.
    func giveUp(at now: Int) -> [ConfigurationError]? {
        guard let serving, let endTime = settings.endTime else { return nil }
        let progress = serving.progress &+ connects.ended
        let waits = serving.isWaitingForDisk || !connects.underWay.isEmpty
        if lastProgress?.progress != progress || !waits { lastProgress = (progress, now) }
        guard let lastProgress, now - lastProgress.time >= endTime else { return nil }
        let refusals = connects.underWay.map {
            ConfigurationError("export \($0.quoted()): a client cannot connect: \(Serving.silence(of: endTime))")
        }
        let errors = serving.losses + refusals
        return errors.isEmpty ? nil : errors
    }

    /// Ends serving. Does nothing if it never began.
    /// - Returns: The counters, and an error for each image whose data could not be written.
    func end() -> (counters: String?, errors: [ConfigurationError]) {
        stopControl()
        guard let serving else { return (nil, []) }
        let countersOfImages = serving.countersOfImages
        let (errors, hasGivenUp) = serving.end()
        self.hasGivenUp = hasGivenUp
        let counters = ([counters] + countersOfImages).joined(separator: "\n")
        self.serving = nil
        if !hasGivenUp { source?.close() }
        return (counters, errors)
    }

    /// Takes no more orders, and removes the control socket.
    private func stopControl() {
        control?.stop()
        controlSocket?.remove()
        (control, controlSocket) = (nil, nil)
    }

    // MARK: - Clients

    /// The names of the exports, in order, or nil if one image is served under every name.
    func exportNames() throws(ConfigurationError) -> [String]? { try source?.names() }

    /// The name of the export for clients that name none; empty if there is none.
    var defaultExport: String { source?.defaultName ?? "" }

    /// Opens a connection to the image that the client calls `name`. A client that may write locks the image against
    /// other writers.
    /// - Returns: The client, and a note for the debug log.
    func connect(to name: String, isReadOnly: Bool) throws(ConfigurationError) -> (client: Client, note: String?) {
        guard let serving, let source else {
            throw ConfigurationError("a client connected before serving began or after it ended")
        }
        let number = connects.begin(name)
        defer { connects.end(number) }
        let export = try source.open(name, isReadOnly: isReadOnly, ifInUse: serving.useIfInUse)
        let served = try open(export, in: serving)
        let canWrite = !isReadOnly && !export.isReadOnly && served.image.isWritable
        do throws(ConfigurationError) {
            let forgotten = try letIn(to: served, canWrite: canWrite)
            serving.warm(served, name: export.name, hasForgotten: forgotten > 0)
            let client = Client(self, served, writeThrough: export.cache == .writethrough, canWrite: canWrite)
            return (client, Self.note(of: served, forgotten: forgotten))
        } catch {
            serving.close(served)
            throw error
        }
    }

    private func open(_ export: Export, in serving: Serving) throws(ConfigurationError) -> ServedImage {
        do throws(AccessError) {
            return try serving.open(export)
        } catch {
            let reason =
                Errno(rawValue: error.code) == .tooManyOpenFilesInSystem
                ? "memory=\(settings.memoryText) has no room for the tables of another image; raise memory="
                : "cannot serve the image to another client (\(Errno(rawValue: error.code)))"
            throw ConfigurationError("\(export.prefix)\(export.image.label): \(reason)")
        }
    }

    /// Closes a connection. After `end` there is nothing left to release.
    func disconnect(_ client: Client) {
        guard let serving else { return }
        if client.canWrite, let error = serving.endWriting(client.served) {
            let lock = settings.role == .plugin && settings.lock == .on ? ", and the image stays locked" : ""
            log(
                client.served.line(
                    "a client left before all written data was on the image and synced: "
                        + "\(Errno(rawValue: error.code)); the data stays in memory and is retried\(lock)"))
        }
        serving.close(client.served)
    }

    /// The counters so far, as `name=value` words. The man page documents each.
    var counters: String {
        guard let counters = serving?.pages.counters else { return "not serving" }
        return "\(counters.ofAll) memory=\(settings.memory)"
    }

    /// Admits a client.
    /// - Returns: The number of cached pages that were discarded because others may have changed them.
    private func letIn(to served: ServedImage, canWrite: Bool) throws(ConfigurationError) -> Int {
        guard canWrite else { return served.beginReading() }
        do {
            let forgotten = try served.beginWriting()
            tellOfName(served)
            return forgotten
        } catch {
            throw ConfigurationError("\(served.prefix)\(error)")
        }
    }

    /// Logs if the image's path leads elsewhere by now. Whoever opens that path will not find what clients write.
    func tellOfName(_ served: ServedImage) {
        if let news = served.newsOfName() { log(news) }
    }

    /// What the debug log says of a new client: which image it has, and that the cache was discarded.
    private static func note(of served: ServedImage, forgotten pages: Int) -> String? {
        var lines = served.isLate ? [served.prefix + OpenedSource.description(of: served.image)] : []
        if pages > 0 {
            lines.append("others may have changed the image: \(pages) cached pages of 4096 bytes are discarded")
        }
        return lines.isEmpty ? nil : lines.joined(separator: "\n")
    }

    /// Checks that the memory can be allocated. It is allocated after the fork.
    private func checkMemory() throws(ConfigurationError) {
        do throws(AccessError) {
            try Pages.check(memory: settings.memory - settings.stagingBytes)
        } catch {
            throw settings.refusal(ofMemory: error)
        }
    }
}
