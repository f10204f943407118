import Accessors
import Glibc
import Paging
import SystemPackage

/// Finds the images that the last server has left something of, and judges whether what is kept of them is good.
///
/// | what is kept of an image                        | what happens                                                   |
/// |-------------------------------------------------|----------------------------------------------------------------|
/// | anything, and it is the image of file=          | it is open already, and is judged                              |
/// | data is owed, or would be lost by a failed sync | it is opened, judged and locked, and the server flushes it     |
/// | a failed sync has lost data                     | it is opened and judged, and rests: its next client is told    |
/// | copies alone, and its record can be compared    | it rests, and is compared when a client comes: there is no I/O |
/// | copies alone, and its record proves nothing     | they are dropped, and a line says so                           |
///
/// So a disk that hangs holds up the start only if data is owed to an image there. Then a line says what is waited for.
/// What is more than a cache is not dropped: if the image cannot be had, that is an error that names the ways out.
///
/// Thread rules: one thread, before the fork.
struct Heirs {
    private let kept: KeptState
    /// The path of the state file.
    private let path: String
    private let source: OpenedSource
    private let notice: SlowNotice
    /// By the numbers of the records.
    private(set) var all: [Int: Heir] = [:]
    /// What the person who starts the server should know, a sentence each.
    private(set) var warnings: [String] = []

    /// - Parameter source: What is served. An image of file= is open already.
    init(_ kept: KeptState, at path: String, _ source: OpenedSource, _ notice: SlowNotice) {
        self.kept = kept
        self.path = path
        self.source = source
        self.notice = notice
    }

    /// Finds the image of one record.
    mutating func find(_ contents: KeptContents) throws(ConfigurationError) {
        do throws(ConfigurationError) {
            all[contents.number] = try heir(contents)
        } catch {
            if let debt = contents.debt {
                throw ConfigurationError("state=\(path): \(debt), but: \(error.text); \(Inheritance.wayOut(path))")
            }
            warnings.append("state=\(path): what is cached of an image is dropped: \(error.text)")
        }
    }

    private mutating func heir(_ contents: KeptContents) throws(ConfigurationError) -> Heir {
        let record = contents.image
        let served = source.image?.image as? ImageFile
        if let served, served.identity == record.identity {
            return try Self.waiting(contents, path, notice) { () throws(ConfigurationError) in
                try judged(served, contents, isServed: true)
            }
        }
        guard !record.path.isEmpty else { throw ConfigurationError("the state has no path for it") }
        guard contents.isClean else { return try opened(contents) }
        guard let image = InheritedImage(record) else {
            throw ConfigurationError(
                "\(record.path.withoutControls): nothing proves that it is still as the last server saw it")
        }
        return Heir(image: image, owed: 0, isLocked: false, isResting: true)
    }

    private mutating func opened(_ contents: KeptContents) throws(ConfigurationError) -> Heir {
        let source = source
        return try Self.waiting(contents, path, notice) { () throws(ConfigurationError) in
            try judged(try source.open(path: contents.image.path), contents, isServed: false)
        }
    }

    /// What `body` returns. If a disk holds it up, a line says which one and why it is needed.
    private static func waiting(
        _ contents: KeptContents, _ state: String, _ notice: SlowNotice,
        _ body: () throws(ConfigurationError) -> Heir
    ) throws(ConfigurationError) -> Heir {
        guard !contents.isClean else { return try body() }
        let path = contents.image.path.withoutControls
        let what = contents.owed > 0 ? "\(contents.owed) pages are owed to it" : "a failed sync could lose data of it"
        return try notice.during("state=\(state): waiting for the disk of \(path): \(what)", body)
    }

    /// The image of a record, if what is kept of it is good. If the dead server has left anything to be written or
    /// synced, it is locked for writing. If others have locked it and nothing is owed to it, its next client syncs it.
    private mutating func judged(
        _ image: ImageFile, _ contents: KeptContents, isServed: Bool
    ) throws(ConfigurationError) -> Heir {
        var isLocked = false
        if contents.owed > 0 || contents.image.isUnsynced {
            do {
                try image.beginWriting()
                isLocked = true
            } catch {
                guard contents.owed == 0 else { throw ConfigurationError("\(error)") }
            }
        }
        try check(image, contents)
        do throws(AccessError) {
            try image.adoptSize(in: kept, of: contents.number)
        } catch {
            throw ConfigurationError("\(image.label): reading it failed (\(Errno(rawValue: error.code)))")
        }
        image.keep(in: contents.image)
        let isResting = !isLocked && !isServed
        if isResting { image.rest() }
        return Heir(image: image, owed: contents.owed, isLocked: isLocked, isResting: isResting)
    }

    /// Drops what is cached of the image if that may be stale.
    /// - Throws: If what is owed must not go there, or if nothing is left to be taken over.
    private mutating func check(_ image: ImageFile, _ contents: KeptContents) throws(ConfigurationError) {
        switch image.judge(contents.image, owedEnd: contents.owedEnd, alive: kept.alive) {
        case .same: break
        case .untold(let reason):
            kept.dropClean(of: contents.number)
            guard !contents.isClean else { throw ConfigurationError("\(image.label): \(reason)") }
            if contents.clean > 0 {
                warnings.append("state=\(path): what is cached of an image is dropped: \(image.label): \(reason)")
            }
        case .changed(let reason):
            // A failed sync is not forgotten, whoever has changed the image since.
            guard contents.owed == 0, contents.image.isAtRisk else {
                throw ConfigurationError("\(image.label): others have changed it: \(reason)")
            }
            kept.dropClean(of: contents.number)
        case .other(let reason):
            throw ConfigurationError("\(image.label): it is not the image that the last server had: \(reason)")
        }
    }
}
