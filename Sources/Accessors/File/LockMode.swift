/// Says whether an image being written is locked against a second writer (`lock=` on the command line).
///
/// A block device is claimed (O_EXCL) in either mode: no good comes of writing underneath a mounted filesystem.
public enum LockMode: String, CaseIterable, Sendable {
    /// An open-file-description lock on the whole file while there are writers.
    case on
    /// No lock: for filesystems that have none, and for users who exclude a second writer by other means.
    case off
}
