import TestSupport

@testable import Accessors

/// What the disk of temporary files can do.
extension Machine {
    /// Whether temporary files can be reached past the page cache.
    static let hasDirect: Bool = {
        let scratch = Scratch()
        return (try? ImageFile(path: scratch.file(pattern(8192)), direct: .on)) != nil
    }()

    /// Whether holes can be punched in temporary files.
    static let punchesHoles: Bool = {
        let scratch = Scratch()
        guard let image = try? ImageFile(path: scratch.file(pattern(8192))) else { return false }
        return (try? image.trim(0..<4096)) != nil
    }()
}
