import CLinux
import CStateFormat

/// What moves when a file's contents are changed: its size and its times.
///
/// Two equal stamps mean that nothing was changed in between, on two conditions. The first one had settled
/// (`settlingTime`): a change soon after another one can get the same times. And no write was under way at the first
/// one, because times move before the data does: the caller must know that from the lock.
///
/// The age of a stamp is not read from a clock. The clock of a filesystem's server differs from ours, and clocks are
/// set back.
struct ImageStamp: Equatable, Sendable {
    private let size: UInt64
    private let modified: Int64
    /// The time of change, which no program can set: nanoseconds since 1970.
    let changed: Int64

    init(size: UInt64, modified: Int64, changed: Int64) {
        self.size = size
        self.modified = modified
        self.changed = changed
    }

    /// What stands for the stamp of an image that others have changed: no file is as long as this.
    static let foreign = ImageStamp(size: .max, modified: 0, changed: 0)

    /// The stamp of now. Nil if the file has none: a block device, or a filesystem that does not tell.
    init?(of descriptor: Int32, isBlockDevice: Bool) {
        var stamp = linux_stamp()
        guard !isBlockDevice, linux_stamp(descriptor, &stamp) == 0 else { return nil }
        self.init(size: stamp.size, modified: stamp.modified, changed: stamp.changed)
    }

    /// The stamp that another server has left.
    init(keptIn record: flexpage_state_image) {
        self.init(size: record.stamp_size, modified: record.stamp_modified, changed: record.stamp_changed)
    }

    /// Leaves it to the next server.
    func keep(in record: inout flexpage_state_image) {
        record.stamp_size = size
        record.stamp_modified = modified
        record.stamp_changed = changed
    }

    /// When the file was last changed, by any account: nanoseconds since 1970.
    var lastTime: Int64 { max(modified, changed) }

    /// True if its filesystem keeps times finer than a millisecond. Whole seconds are what ext4 with inodes of 128
    /// bytes keeps, FAT and others; exFAT keeps hundredths. Only the time of change is looked at: anybody can set the
    /// other one.
    var isFine: Bool { changed % 1_000_000 != 0 }

    /// Milliseconds after a stamp was first seen until any change is certain to move it, as long as clocks go forwards.
    /// It is twice the step of the times: a tick of the kernel, at most 10 ms; FAT's two seconds.
    var settlingTime: Int { isFine ? ImageStamp.minSettlingTime : 4000 }

    /// The settling time of fine stamps.
    static let minSettlingTime = 20
}
