import Accessors
import Paging
import SystemPackage

/// The state file (state=): what this server leaves for the next one, and what the last one has left.
///
/// It is opened, checked and judged before the fork, while a person sees the errors and the process has its privileges.
/// Nothing that is owed to an image is dropped. If the image cannot be had, the server does not start, and the error
/// names the way out.
///
///     opened ── nothing in it ─────────────────────────────────────▶ empty
///       ├────── another layout: what is owed is written out ───────▶ empty
///       └────── the same layout ── inherit: each image is judged ──▶ images to be taken over
///
/// Thread rules: one thread, until the server serves. The file stays locked as long as this lives.
final class Inheritance: @unchecked Sendable {
    let kept: KeptState
    /// What every descriptor gets through which bytes of the memory move.
    let mark: ServerMark
    /// The images, by the numbers of their records.
    private(set) var heirs: [Int: Heir] = [:]
    /// What the person who starts the server should know, a sentence each.
    private(set) var warnings: [String] = []
    /// What the frames lie in.
    var backing: any MemoryBacking { file }
    private let file: StateFile
    /// Whether a server has left something that fits.
    private let isTakenOver: Bool

    /// How many servers in a row may die within a minute of service: a first one, and three that take over from it. The
    /// next one does not try again.
    private static let maxShortLives = 4

    /// Opens the file and takes charge of it. May wait for what the kernel still does for a server that was killed.
    /// - Parameter log: Hears of that, once a second.
    init(_ settings: Settings, at path: String, log: (String) -> Void) throws(ConfigurationError) {
        let file = try ConfigurationError.prefixing("state=") { () throws(StateError) in
            try StateFile(FilePath(path), log: log)
        }
        self.file = file
        guard let layout = file.layout(memory: settings.pagesBytes) else {
            file.discardIfNew()
            throw ConfigurationError(
                "memory", settings.memoryText, "too little to keep anything in state=",
                expected: "more, or a state file on a filesystem with smaller pages")
        }
        switch try ConfigurationError.prefixing("state=", { () throws(StateError) in try file.take(layout) }) {
        case .new(let state):
            (kept, isTakenOver) = (state, false)
            do throws(ConfigurationError) {
                mark = try ConfigurationError.prefixing("state=") { () throws(StateError) in
                    try file.takeCharge(ofNew: state)
                }
            } catch {
                file.discardIfNew()
                throw error
            }
        case .same(let state):
            let mark = try ConfigurationError.prefixing("state=") { () throws(StateError) in
                try file.takeCharge(of: state, log: log)
            }
            (kept, isTakenOver) = (state, true)
            self.mark = mark
        case .other(let state):
            let mark = try ConfigurationError.prefixing("state=") { () throws(StateError) in
                try file.takeCharge(of: state, log: log)
            }
            try Self.checkLosses(of: state, path)
            warnings += Self.doubts(of: state, path)
            let written = try Self.writeOut(state, mark, path)
            let empty = try ConfigurationError.prefixing("state=") { () throws(StateError) in try file.make(layout) }
            (kept, isTakenOver) = (empty, false)
            self.mark = try ConfigurationError.prefixing("state=") { () throws(StateError) in
                try file.takeCharge(ofNew: empty)
            }
            warnings.append(
                "state=\(path): memory= is another one than the last server's: the cache begins empty"
                    + (written > 0 ? "; \(written) pages that it owed to images are on them now" : ""))
        }
    }

    /// A server with another layout would forget that a failed sync has lost data, and flushes would succeed.
    private static func checkLosses(of state: KeptState, _ path: String) throws(ConfigurationError) {
        guard let image = state.imagesInUse.first(where: { $0.image.hasLoss })?.image else { return }
        throw ConfigurationError(
            "state=\(path): memory= is another one than the last server's, which has lost data of \(image.path) in a "
                + "failed sync; start with the former memory=, so that its clients hear of it, or "
                + wayOut(path))
    }

    /// Brings what a server with another layout owes to its images.
    /// - Returns: Base pages.
    private static func writeOut(
        _ state: KeptState, _ mark: ServerMark, _ path: String
    ) throws(ConfigurationError) -> Int {
        let outcomes = StateWriteOut(state, mark).run()
        let failures = outcomes.compactMap { outcome in
            outcome.failure.map {
                let count = outcome.owedPages
                return count > 0 ? "\(count) pages are owed, but \($0)" : "what it was given may not be durable: \($0)"
            }
        }
        guard failures.isEmpty else {
            throw ConfigurationError(
                "state=\(path): memory= is another one than the last server's, so what that one owes must be "
                    + "durable on the images first: \(failures.joined(separator: "; ")); "
                    + "start with the former memory=, or \(wayOut(path))")
        }
        return outcomes.reduce(0) { $0 + $1.writtenPages }
    }

    private static func doubts(of state: KeptState, _ path: String) -> [String] {
        state.imagesInUse.compactMap(\.image.doubt).map { "state=\(path): \($0)" }
    }

    static func wayOut(_ path: String) -> String {
        "`flexpage state \(path)` shows what is in it, --write-out brings it to the images (with --even-if-changed, "
            + "also to those that others have changed), --discard drops it"
    }

    // MARK: - Images

    /// Opens and judges the images that the last server has left something of.
    /// - Parameter source: What is served. An image of file= is open already.
    /// - Parameter notice: Says what a disk that hangs holds up.
    func inherit(_ source: OpenedSource, _ notice: SlowNotice) throws(ConfigurationError) {
        guard isTakenOver else { return }
        // The end of an image, which may lie in a sector that was being overwritten, is looked at.
        kept.undoWrites()
        let contents = kept.contents.filter(\.isAnything)
        guard try isWorthTaking(contents) else { return }
        warnings += Self.doubts(of: kept, "\(file.path)")
        var heirs = Heirs(kept, at: "\(file.path)", source, notice)
        for contents in contents { try heirs.find(contents) }
        self.heirs = heirs.all
        warnings += heirs.warnings
        let owed = heirs.all.values.reduce(0) { $0 + $1.owed }
        if owed > 0 {
            warnings.append(
                "state=\(file.path): \(owed) pages that the last server owed to images are taken over, and will be "
                    + "written to them")
        }
    }

    /// Whether this server takes over what the last one has left. It does not do so again and again if servers die of
    /// it.
    /// - Throws: If it does not, but what would be dropped is more than a cache.
    private func isWorthTaking(_ contents: [KeptContents]) throws(ConfigurationError) -> Bool {
        let deaths = kept.shortLives
        guard deaths >= Self.maxShortLives else { return true }
        let story = "state=\(file.path): the last \(deaths) servers have died within a minute"
        let debts = contents.compactMap(\.debt)
        guard debts.isEmpty else {
            throw ConfigurationError(
                "\(story), and \(debts.joined(separator: "; ")); \(Self.wayOut("\(file.path)"))")
        }
        warnings.append("\(story): what they had cached is dropped")
        return false
    }

    // MARK: - Serving

    /// The server cannot serve. Removes the file if this process has made it, because it would hold its memory until
    /// somebody removes it.
    func discardIfNew() { file.discardIfNew() }

    /// The descriptors that a process closes that only starts the server.
    var descriptors: [Int32] {
        [file.number] + heirs.values.flatMap(\.image.descriptors)
    }

    /// Notes that the server is about to take over, after everything that can keep it from serving.
    func noteBegin() {
        if isTakenOver { kept.noteBegin() }
        kept.noteAlive()
    }
}
