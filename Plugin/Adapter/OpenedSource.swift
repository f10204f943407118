import Accessors
import SystemPackage

/// The opened image that the settings name, and what there is to tell about it.
///
/// This is the only place in the plugin that knows the kinds of images. Everything else knows only `ImageSource`.
struct OpenedSource {
    /// The key that names the image. Messages about an image are `file=`, followed by the image's own words.
    static let key = "file"

    let image: any ImageSource
    /// How it was opened, for the debug log.
    let note: String
    /// What the person who starts the server may not expect, one sentence each.
    let warnings: [String]

    /// Opens it. To be called while the process still has its privileges.
    init(_ settings: Settings) throws(ConfigurationError) {
        let path = try settings.requireFile()
        let file = try Self.open(path, settings)
        image = file
        note = "\(Self.key)=\(path): \(file.size) bytes, direct I/O: \(file.isDirect ? "yes" : "no")"
        warnings = Self.warnings(about: file, settings)
    }

    private static func open(_ path: String, _ settings: Settings) throws(ConfigurationError) -> ImageFile {
        do throws(ImageError) {
            return try ImageFile(path: FilePath(path), direct: settings.direct, lock: settings.lock)
        } catch {
            throw ConfigurationError("\(Self.key)=\(error)")
        }
    }

    private static func warnings(about file: ImageFile, _ settings: Settings) -> [String] {
        var lines: [String] = []
        if settings.direct == .auto && !file.isDirect {
            lines.append(
                "\(key)=\(file.label): direct I/O is not supported here; using the host's page cache, and dropping "
                    + "pages from it after each use")
        }
        if let reason = file.readOnlyReason {
            lines.append("\(key)=\(reason); serving it read-only")
        }
        return lines
    }
}
