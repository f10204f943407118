import Accessors
import Paging
import SystemPackage

/// What the settings say is to be served: one open image, or names under which clients find images.
///
///     file=    the image is opened before the fork, and served under every name
///     dir=     each name is looked up in the directory when a client comes
///     export=  each name has a path, which is opened when a client comes, and checked before the fork
///     (none)   a filter's layer is opened for the first client, and served under every name
///
/// This is the only place in the plugin that knows the kinds of images. Everything else knows only `ImageSource`.
/// Thread rules: any thread, any time.
struct OpenedSource: Sendable {
    private enum Kind {
        case image(Export)
        case directory(ImageDirectory)
        case list(from: ImageDirectory)
        case layer(LayerSource)
    }

    private let kind: Kind
    private let settings: Settings
    private let rings = WriteRings()
    /// What descriptors get if the next server takes over the memory.
    private let mark: ServerMark?
    /// What was opened and how, for the debug log.
    let note: String
    /// What the person who starts the server may not expect, one sentence each.
    private(set) var warnings: [String] = []

    /// Opens or checks it. To be called while the process still has its privileges.
    /// - Parameter mark: What descriptors get if the next server takes over the memory.
    /// - Parameter notice: Says which disk holds up the start, if anything does.
    init(_ settings: Settings, mark: ServerMark? = nil, _ notice: SlowNotice? = nil) throws(ConfigurationError) {
        try settings.check()
        self.settings = settings
        self.mark = mark
        if let path = settings.directory {
            let directory = try ConfigurationError.prefixing("dir=") { () throws(ImageError) in
                try ImageDirectory(FilePath(path))
            }
            kind = .directory(directory)
            let names = try ConfigurationError.prefixing("dir=") { () throws(ImageError) in try directory.names() }
            note = "dir=\(path): \(names.count) images"
            warnings = Self.warnings(about: names.compactMap { try? directory.place(named: $0) }, settings)
            try checkDefaultExport()
        } else if let path = settings.file {
            let place = ImagePlace(FilePath(path))
            let file = try Self.file(at: place, settings, rings, mark, notice, prefix: "file=")
            kind = .image(
                Export(
                    image: file, name: path, prefix: "file=", isReadOnly: false, cache: settings.cache,
                    reserve: settings.reserve))
            note = "file=" + Self.description(of: file)
            warnings = Self.warnings(about: file, settings, prefix: "file=")
        } else {
            let directory = try ConfigurationError.prefixing("export=") { () throws(ImageError) in
                try ImageDirectory.ofProcess()
            }
            kind = .list(from: directory)
            note = "\(settings.exports.count) exports"
            try checkList(from: directory, notice)
        }
    }

    /// What a filter serves.
    init(_ layer: GlueLayer, _ settings: Settings, log: @escaping @Sendable (String) -> Void) throws(ConfigurationError)
    {
        try settings.check()
        self.settings = settings
        mark = nil
        kind = .layer(LayerSource(layer, settings, log: log))
        note = layer.label
    }

    /// Closes what stays open without clients. No client is left.
    func close() {
        if case .layer(let layer) = kind { layer.close() }
    }

    /// Whether clients may have several images.
    var hasSeveralImages: Bool {
        switch kind {
        case .image, .layer: false
        case .directory, .list: true
        }
    }

    // MARK: - Before the fork

    /// The image that is served under every name, or nil if clients name one.
    var image: Export? {
        if case .image(let export) = kind { export } else { nil }
    }

    /// Whether an order of the control socket may open images. A layer is opened once, for the first client: with that
    /// client's name for it, and for reading only if that client only reads.
    var isOpenedForClients: Bool {
        if case .layer(let layer) = kind { layer.isOpened } else { true }
    }

    /// The descriptors that it has. A process that only starts the server closes them.
    var descriptors: [Int32] {
        switch kind {
        case .image(let export): export.image.descriptors
        case .directory(let directory), .list(let directory): [directory.number]
        case .layer: []
        }
    }

    private func checkDefaultExport() throws(ConfigurationError) {
        guard let name = settings.defaultExport else { return }
        do throws(ConfigurationError) {
            _ = try open(name)
        } catch {
            throw ConfigurationError("default=\(name): \(error.text)")
        }
    }

    /// Opens each image of the list, and closes it again.
    private mutating func checkList(
        from directory: ImageDirectory, _ notice: SlowNotice?
    ) throws(ConfigurationError) {
        for export in settings.exports {
            let prefix = "export=\(export.name):"
            let file = try Self.file(
                at: directory.place(at: FilePath(export.path)), settings, rings, mark, notice, prefix: prefix)
            warnings += Self.warnings(about: file, settings, prefix: prefix, isReadOnly: export.isReadOnly)
        }
    }

    /// What holds for images of a directory, a line for each kind of news. All are opened, and nothing is read but from
    /// the first: whether there is O_DIRECT depends on the filesystem.
    private static func warnings(about places: [ImagePlace], _ settings: Settings) -> [String] {
        let first = places.first.flatMap {
            try? ImageFile(at: $0, direct: settings.direct, lock: settings.lock, readOnly: true)
        }
        var lines = first.map { warnings(about: $0, settings, prefix: "dir=", isReadOnly: true) } ?? []
        let reasons = places.compactMap(ImageFile.readOnlyReason(at:))
        if let reason = reasons.first {
            let others = reasons.count == 1 ? "" : " and \(reasons.count - 1) more, for their own reasons,"
            lines.append("dir=\(reason); serving it\(others) read-only")
        }
        return lines
    }

    private static func warnings(
        about file: ImageFile, _ settings: Settings, prefix: String, isReadOnly: Bool = false
    ) -> [String] {
        var lines: [String] = []
        if settings.direct == .auto && !file.isDirect {
            lines.append(
                "\(prefix)\(file.label): direct I/O is not supported here; using the host's page cache, and dropping "
                    + "pages from it after each use")
        }
        if !isReadOnly, let reason = file.readOnlyReason {
            lines.append("\(prefix)\(reason); serving it read-only")
        }
        return lines
    }

    /// The image's path and size, and how it was opened.
    static func description(of image: any ImageSource) -> String {
        if image is LayerImage { return "\(image.label): \(image.size) bytes" }
        let isDirect = (image as? ImageFile ?? (image as? InheritedImage)?.file)?.isDirect ?? false
        return "\(image.label): \(image.size) bytes, direct I/O: \(isDirect ? "yes" : "no")"
    }

    // MARK: - Clients

    /// The names of the exports, in order, or nil if one image is served under every name.
    func names() throws(ConfigurationError) -> [String]? {
        switch kind {
        case .image, .layer: return nil
        case .directory(let directory):
            return try ConfigurationError.prefixing("dir=") { () throws(ImageError) in try directory.names() }
        case .list: return settings.exports.map(\.name).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    /// The name that a client gets if it gives none.
    var defaultName: String { settings.defaultExport ?? "" }

    /// Opens the image that a client calls `name`. If other clients have it open, nothing of it is read: its disk may
    /// hang.
    /// - Parameter isReadOnly: Whether nbdkit serves read-only. A layer is opened so.
    /// - Parameter use: The Provider of an image that is in use, for one more user.
    /// - Throws: Why there is none, in a sentence that names it.
    func open(
        _ name: String, isReadOnly: Bool = false, ifInUse use: (ImageIdentity) -> Provider? = { _ in nil }
    ) throws(ConfigurationError) -> Export {
        let name = name.isEmpty ? defaultName : name
        let prefix = "export \(name.quoted()): "
        switch kind {
        case .image(let export): return export
        case .layer(let layer):
            let image = try layer.open(name, isReadOnly: isReadOnly)
            return Export(
                image: image, name: image.label, prefix: "", isReadOnly: false, cache: settings.cache, reserve: nil)
        case .directory where name.isEmpty, .list where name.isEmpty:
            throw ConfigurationError("\(prefix)the client names no export, and there is no default=")
        case .directory(let directory):
            let place = try ConfigurationError.prefixing(prefix) { () throws(ImageError) in
                try directory.place(named: name)
            }
            let (image, provider) = try image(at: place, prefix: prefix, ifInUse: use)
            return Export(
                image: image, provider: provider, name: name, prefix: prefix, isReadOnly: false, cache: settings.cache,
                reserve: settings.reserve)
        case .list(let directory):
            guard let export = settings.exports.first(where: { $0.isCalled(name) }) else {
                throw ConfigurationError("\(prefix)there is no such export")
            }
            let place = directory.place(at: FilePath(export.path))
            let (image, provider) = try image(at: place, prefix: prefix, ifInUse: use)
            return Export(
                image: image, provider: provider, name: name, prefix: prefix, isReadOnly: export.isReadOnly,
                cache: export.cache ?? settings.cache, reserve: export.reserve ?? settings.reserve)
        }
    }

    /// The image there: the one in use, with its Provider, or one that is opened.
    private func image(
        at place: ImagePlace, prefix: String, ifInUse use: (ImageIdentity) -> Provider?
    ) throws(ConfigurationError) -> (image: any ImageSource, provider: Provider?) {
        if let provider = ImageFile.identity(at: place).flatMap(use), let image = provider.accessor as? any ImageSource
        {
            return (image, provider)
        }
        return (try Self.file(at: place, settings, rings, mark, prefix: prefix), nil)
    }

    private static func file(
        at place: ImagePlace, _ settings: Settings, _ rings: WriteRings, _ mark: ServerMark?,
        _ notice: SlowNotice? = nil, prefix: String
    ) throws(ConfigurationError) -> ImageFile {
        let open = { () throws(ImageError) in
            try ImageFile(at: place, direct: settings.direct, lock: settings.lock, rings: rings, mark: mark)
        }
        let file = try ConfigurationError.prefixing(prefix) { () throws(ImageError) in
            guard let notice else { return try open() }
            let path = place.path.string.withoutControls
            return try notice.during("waiting for the disk of \(path)", open)
        }
        guard file.size > Pages.maxImageSize else { return file }
        throw ConfigurationError(
            "\(prefix)\(file.label): the image has \(file.size) bytes; expected at most \(Pages.maxImageSize)")
    }

    /// Opens the image at a path that the last server has left.
    func open(path: String) throws(ConfigurationError) -> ImageFile {
        let directory = try ConfigurationError.prefixing("") { () throws(ImageError) in try ImageDirectory.ofProcess() }
        return try Self.file(at: directory.place(at: FilePath(path)), settings, rings, mark, prefix: "")
    }
}
