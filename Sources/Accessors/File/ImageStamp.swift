import CLinux

/// What moves when a file's contents are changed: its size and its times.
///
/// Two equal stamps mean that nothing was changed in between only if the first one had settled (`settlingTime`): a
/// change soon after another one can get the same times. And only if no write was under way at the first one, as times
/// move before the data does: whoever compares must know that from the lock.
///
/// No clock is asked how old a stamp is. That of a filesystem's server differs from ours, and clocks are set back.
struct ImageStamp: Equatable, Sendable {
    private let size: UInt64
    private let modified: Int64
    private let changed: Int64

    init(size: UInt64, modified: Int64, changed: Int64) {
        self.size = size
        self.modified = modified
        self.changed = changed
    }

    /// The stamp of now. Nil where the file has none: a block device, or a filesystem that does not tell.
    init?(of descriptor: Int32, isBlockDevice: Bool) {
        var stamp = linux_stamp()
        guard !isBlockDevice, linux_stamp(descriptor, &stamp) == 0 else { return nil }
        self.init(size: stamp.size, modified: stamp.modified, changed: stamp.changed)
    }

    /// Whether its filesystem keeps times finer than a millisecond. One of ext4 with inodes of 128 bytes, FAT and
    /// others keep whole seconds, exFAT hundredths. Only the time of change is looked at: the other one can be set by
    /// anybody.
    var isFine: Bool { changed % 1_000_000 != 0 }

    /// Milliseconds from when a stamp was seen until what is changed then is certain to move it, as long as clocks go
    /// forwards. Twice the step of the times: a tick of the kernel, at most 10 ms; FAT's two seconds.
    var settlingTime: Int { isFine ? 20 : 4000 }
}
