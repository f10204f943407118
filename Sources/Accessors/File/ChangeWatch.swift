import CLinux
import Glibc
import Paging

/// Finds out whether others may have changed an image while nobody here could write it. If so, what is cached of it
/// must be forgotten.
///
///                      writersCame: changed?                writersLeave
///     unlocked here ─────────────────────────▶ locked here ──────────────▶ unlocked here, `left` noted
///       │     ▲ ▲                                                               │
///       └─────┘ └── resumes: changed? ◀── resting, `rested` noted ◀── rests ────┘
///        readersCame: changed?
///
/// **Writers** compare stamps under the lock: the stamp of now, and the one that the last writer here noted. No write
/// by anybody was under way at either moment. If the two are equal, what was read in between is what the image holds.
/// If not, any of it may be stale, whenever it was read.
///
/// A stamp that proves little is not noted. On filesystems that keep whole seconds it would take too long to settle,
/// and could recur when a clock is set back. Others do not move the times with each change (`linux_tells_changes`).
/// There, as on a block device, the image always counts as changed.
///
/// **Readers** hold no lock. What they read beside a writer elsewhere may be the old state or the new one. But a new
/// reader must find what others had made durable before. So the cache counts as good only if it was forgotten after its
/// stamp had settled, while no writer held the lock: a write that began with this stamp is over by then. A block device
/// tells a reader nothing.
///
/// **An image that rests** has no descriptor and no lock. What is cached of it is good at the next opening if it was
/// known to be good when it began to rest, by the rules above, and the file has the same stamp.
///
/// Not thread-safe; see `Handover`. Each call makes one or two system calls. `writersLeave` can sleep for 20 ms, and so
/// can `readersCame` of an image that can rest.
struct ChangeWatch {
    private var descriptor: Int32
    private let isBlockDevice: Bool
    private let tellsChanges: Bool
    private let canRest: Bool
    private let isUnique: Bool
    /// The stamp at the last look, and when it was first seen.
    private var stamp: ImageStamp?
    private var stampSince = 0
    /// The stamp that the last writer left, if it proves something.
    private var left: ImageStamp?
    /// True if nothing cached is older than `stamp`.
    private var isGood = false
    /// The stamp with which the image began to rest, if what is cached was known to be good then.
    private var rested: ImageStamp?

    /// - Parameter descriptor: Open for as long as this is used; not owned.
    /// - Parameter canRest: The image may rest, or the next server may take it over. Then the first reader waits for
    ///   the stamp to settle, because otherwise nothing that this reader has read could be kept.
    /// - Parameter isUnique: No later file can be taken for the image when that has no descriptor. Otherwise nothing
    ///   cached outlives a rest: the filesystem may have given its inode number to another file.
    init(descriptor: Int32, isBlockDevice: Bool, canRest: Bool = false, isUnique: Bool = true) {
        self.descriptor = descriptor
        self.canRest = canRest
        self.isUnique = isUnique
        self.isBlockDevice = isBlockDevice
        tellsChanges = linux_tells_changes(descriptor)
        look()
    }

    /// The first writer has come and has the lock.
    /// - Returns: True if the image may have been changed since the last writer left.
    mutating func writersCame() -> Bool {
        look()
        return left == nil || left != stamp
    }

    /// The last writer leaves. It still has the lock, and everything written is on the image. Waits for the stamp to
    /// settle, if that does not take long.
    mutating func writersLeave() {
        look()
        let isProof = tellsChanges && stamp?.isFine == true
        while isProof, !isSettled { usleep(1000) }
        left = isProof ? stamp : nil
        isGood = isSettled
    }

    /// A reader has come while there are no writers here.
    /// - Returns: True if what is cached of the image may be older than what others had made durable.
    mutating func readersCame() -> Bool {
        if isBlockDevice { return false }
        look()
        if isGood { return false }
        if canRest, tellsChanges, stamp?.isFine == true {
            while !isSettled { usleep(1000) }
            look()
        }
        isGood = isSettled && linux_is_locked(descriptor) == 0
        return true
    }

    /// The image begins to rest: nobody has it open here. Its descriptor is closed after this.
    mutating func rests() {
        look()
        let isProof = isUnique && tellsChanges && stamp?.isFine == true && isSettled && (isGood || left == stamp)
        rested = isProof ? stamp : nil
    }

    /// The image has been opened again.
    /// - Parameter descriptor: The one that is used from now on; not owned.
    /// - Returns: True if nothing has changed the image, so that what is cached is good. Otherwise nothing happens.
    mutating func resumes(_ descriptor: Int32) -> Bool {
        guard let rested, rested == ImageStamp(of: descriptor, isBlockDevice: isBlockDevice) else { return false }
        self.descriptor = descriptor
        self.rested = nil
        return true
    }

    // MARK: For the next server

    /// The stamp of the last look, if what is cached is known to be what the image held then.
    var proof: ImageStamp? { isGood || left == stamp ? provingStamp : nil }

    /// The stamp of the last look, if it proves something: of an image that nobody else may write now.
    var provingStamp: ImageStamp? { tellsChanges && stamp?.isFine == true ? stamp : nil }

    /// The stamp of now, if it proves something.
    mutating func newStamp() -> ImageStamp? {
        look()
        return provingStamp
    }

    /// The stamp of now, if it proves something. Waits for it to settle; nil if it does not stay the same meanwhile.
    mutating func settledStamp() -> ImageStamp? {
        look()
        guard let first = provingStamp else { return nil }
        while !isSettled { usleep(1000) }
        return newStamp() == first ? first : nil
    }

    /// Whether another open file description has the image locked for writing.
    var isLockedElsewhere: Bool { linux_is_locked(descriptor) > 0 }

    /// Judges whether the image is as another server has left it. If so, what is cached of it is good.
    mutating func judge(
        _ record: KeptImage, owedEnd: Int64, alive: UInt64, _ sight: KeptJudgement.Sight
    ) -> KeptJudgement {
        look()
        var sight = sight
        sight.stamp = stamp
        sight.tellsChanges = tellsChanges
        let judgement = KeptJudgement(record, owedEnd: owedEnd, alive: alive, sight)
        guard judgement == .same else { return judgement }
        // The last change may be as young as the death of the server.
        while !isSettled { usleep(1000) }
        left = stamp
        isGood = true
        return judgement
    }

    private mutating func look() {
        let now = ImageStamp(of: descriptor, isBlockDevice: isBlockDevice)
        // A file that does not tell any more may have been changed.
        guard now != stamp else { return }
        stamp = now
        stampSince = MonotonicTime.now
        isGood = false
    }

    /// True if every change from now on moves the stamp.
    private var isSettled: Bool {
        guard let stamp else { return false }
        return MonotonicTime.now - stampSince >= stamp.settlingTime
    }
}
