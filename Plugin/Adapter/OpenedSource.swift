import Accessors
import SystemPackage

/// The image that the settings name, opened, and what there is to say of it.
///
/// This is the one place of the plugin that knows what kinds of image there are. All else knows `ImageSource`.
struct OpenedSource {
    /// The key that names the image. What an image says of itself begins with its label, and stands behind this.
    static let key = "file"

    let image: any ImageSource
    /// How it was opened: good to know when looking for trouble.
    let note: String
    /// What is not as a person may expect it, in sentences.
    let warnings: [String]

    /// Opens it, while the process has its privileges.
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
                "\(key)=\(file.label): direct I/O is refused here; the host's page cache is used, and dropped behind "
                    + "each use")
        }
        if let reason = file.readOnlyReason {
            lines.append("\(key)=\(reason); it is served read-only")
        }
        return lines
    }
}
