/// Says whether an image is reached past the host's page cache (`direct=` on the command line).
public enum DirectMode: String, CaseIterable, Sendable {
    /// O_DIRECT if the filesystem has it; otherwise the page cache, with each page dropped after its use.
    case auto
    /// O_DIRECT, or opening fails.
    case on
    /// The page cache, with each page dropped after its use.
    case off
}
