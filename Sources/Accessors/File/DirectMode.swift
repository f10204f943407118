/// Whether an image is reached past the host's page cache (`direct=` on the command line).
public enum DirectMode: String, CaseIterable, Sendable {
    /// O_DIRECT where the filesystem has it, else the page cache with each page dropped behind its use.
    case auto
    /// O_DIRECT, or opening fails.
    case on
    /// The page cache, each page dropped behind its use.
    case off
}
