import CLinux
import Glibc
import Paging
import SystemPackage

/// An image in a regular file or a block device.
///
/// **Past the page cache.** Whole base pages are read and written with O_DIRECT if the filesystem has it. So an image
/// takes no memory but the pager's. The page cache serves what O_DIRECT cannot do:
/// - the tail of an image whose size is no multiple of 4096 (a whole block there would make the file longer);
/// - the edges of a range that is zeroed;
/// - everything, if there is no O_DIRECT.
///
/// What went through the page cache is written back and dropped from it before the call returns. So the two ways never
/// disagree, even on filesystems that do not see to that themselves, and nothing is cached twice.
///
/// **Size.** The size is that at opening. An image that has become shorter since answers EIO for what is gone, and is
/// never made longer. One that has become longer is served at its old length.
///
/// **Privileges.** All descriptors are made when the image is opened, for writing too if that is permitted, because a
/// server gives up its privileges and its directory afterwards. Being open for writing keeps nobody out: that begins
/// with `beginWriting`. An image in an `ImageDirectory` is opened while the server serves, with the privileges that it
/// has kept.
///
/// **Rest.** An image that nobody uses can rest: it has no descriptor then, and hinders nobody.
///
///     open ── rest ──▶ resting ── wake, nothing has changed ──▶ open, with the other's descriptors
///
/// **Threads.** Any thread may call anything at any time, within the rules of `Accessor`. Nothing that serves allocates
/// or takes a lock. While `rest` or `wake` is under way there is no other call.
///
/// It is split by concern: Reading, Writing, WritingMany, Zeroing, Extents, Resting, Keeping. `OpenedImage` opens, and
/// `WriteAccess` locks. `Handover` sees what others have changed, and `ImageName` sees whether the path still leads
/// here.
public final class ImageFile: ImageSource, @unchecked Sendable {
    /// Bytes in a base page: the unit of O_DIRECT here.
    static let pageSize: Int64 = 4096

    /// Where it was found, at the last opening.
    var place: ImagePlace
    /// Bytes in the image. Any number, including 0.
    public let size: Int64
    /// What makes two opens the same image, by whatever path: device, inode and time of birth; for a block device its
    /// number.
    public let identity: ImageIdentity
    public let isBlockDevice: Bool
    /// True if it is open for writing. Otherwise `readOnlyError` tells why not.
    public let isWritable: Bool
    /// Why it cannot be written, if it cannot.
    public var readOnlyError: ImageError? { opened.readOnlyReason.map { ImageError(path, .readOnly($0)) } }
    /// True if whole pages go past the page cache. False with `direct=off`, and if O_DIRECT was refused.
    public let isDirect: Bool
    /// True if the device, or the one that holds the file, is a spinning disk. False if that cannot be told.
    public let isRotational: Bool
    /// Bytes in the smallest unit that the device reads and writes, or that its filesystem takes for O_DIRECT; 512 if
    /// the kernel does not tell.
    public let logicalBlockSize: Int64

    let opened: OpenedImage
    let zeroes: ZeroBytes
    let rings: WriteRings
    let offloadsZeroes: Bool
    let handover: Handover
    let lock: LockMode
    // What goes with the descriptors, and is taken over with them.
    var writeAccess: WriteAccess?
    var name: ImageName
    // What the next server finds, if anything is kept (Keeping).
    var keptImage: KeptImage?
    var writeCounts: WriteCounts?

    /// Opens the image at a path. Call it while the process still has its privileges. It allocates.
    ///
    /// - Parameters: See below.
    public convenience init(
        path: FilePath, direct: DirectMode = .auto, lock: LockMode = .on, readOnly: Bool = false,
        mark: ServerMark? = nil
    ) throws(ImageError) {
        try self.init(at: ImagePlace(path), direct: direct, lock: lock, readOnly: readOnly, mark: mark)
    }

    /// Opens an image. It allocates.
    ///
    /// - Parameters:
    ///   - place: Where a regular file or block device is, or a symbolic link to one.
    ///   - direct: How to treat the page cache.
    ///   - lock: How writers lock the image.
    ///   - readOnly: Do not open it for writing, even if that is permitted.
    ///   - rings: The rings of the process.
    ///   - mark: What the descriptors get that move bytes of the Memory, if the next server takes that over (`state=`).
    ///     Nothing of that Memory is read or written by opening.
    /// - Throws: An error that tells a person what is wrong and the way out.
    public init(
        at place: ImagePlace, direct: DirectMode = .auto, lock: LockMode = .on, readOnly: Bool = false,
        rings: WriteRings = WriteRings(), mark: ServerMark? = nil
    ) throws(ImageError) {
        do throws(ImageError.Problem) {
            opened = try OpenedImage(place, direct: direct, readOnly: readOnly, mark: mark)
            guard let zeroes = ZeroBytes() else { throw .failed("mapping memory", .noMemory) }
            self.zeroes = zeroes
        } catch {
            throw ImageError(place.path, error)
        }
        self.place = place
        self.rings = rings
        self.lock = lock
        size = opened.size
        isBlockDevice = opened.isBlockDevice
        identity = Self.identity(of: opened.file, birth: opened.birth)
        isWritable = opened.readOnlyReason == nil
        isDirect = opened.directNumber != nil
        logicalBlockSize = opened.logicalBlockSize
        let properties = DeviceProperties(of: isBlockDevice ? opened.file.special_device : opened.file.device)
        isRotational = properties.isRotational
        offloadsZeroes = isBlockDevice && properties.offloadsZeroes
        let descriptor = opened.buffered.number
        // The lock is on the descriptor that rings write to. Rings may go on for a moment after the process has been
        // killed, and the lock lasts as long.
        let locked = opened.directNumber ?? descriptor
        writeAccess =
            isWritable
            ? WriteAccess(
                descriptor: locked, syncing: opened.syncing.number, isBlockDevice: isBlockDevice, mode: lock,
                isLate: place.isLate)
            : nil
        handover = Handover(
            ChangeWatch(
                descriptor: descriptor, isBlockDevice: isBlockDevice, canRest: place.isLate || mark != nil,
                isUnique: opened.birth != 0))
        name = ImageName(place, opened.file, descriptor: descriptor)
    }

    /// The identity of what is there now, if this process may read it and it can be an image; otherwise nil. It is
    /// opened, and nothing is read from it.
    public static func identity(at place: ImagePlace) -> ImageIdentity? {
        // Opening something else may wait, or do things.
        guard let expected = try? place.status().kind, [LINUX_REGULAR, LINUX_BLOCK_DEVICE].contains(expected),
            let descriptor = try? place.open(writable: false, direct: false)
        else { return nil }
        var file = linux_file()
        guard linux_fstat(descriptor.number, &file) == 0, file.kind == expected else { return nil }
        return identity(of: file, birth: OpenedImage.birth(of: descriptor.number))
    }

    /// Why the image that is there now cannot be written, in a sentence, if it can be read. It is opened, and nothing
    /// is read from it.
    public static func readOnlyReason(at place: ImagePlace) -> String? {
        OpenedImage.readOnlyReason(at: place).map { "\(ImageError(place.path, .readOnly($0)))" }
    }

    /// No file has inode 0, so no device is taken for a file.
    private static func identity(of file: linux_file, birth: UInt64) -> ImageIdentity {
        if file.kind == LINUX_BLOCK_DEVICE { return ImageIdentity(device: file.special_device, inode: 0) }
        return ImageIdentity(device: file.device, inode: file.inode, birth: birth)
    }
}

// MARK: - Clients come and leave

extension ImageFile {
    /// The path that it was opened by.
    public var path: FilePath { place.path }

    public var label: String { path.string.withoutControls }

    public var readOnlyReason: String? { readOnlyError.map { "\($0)" } }

    /// Call it once the process has the privileges that it keeps, and before the first client. Gives a block device
    /// back until there is a writer, so that others can claim it, if this process could claim it again then. Without
    /// this call the device stays claimed until the first writer has left.
    public func privilegesDropped() {
        writeAccess?.privilegesDropped()
    }

    /// The descriptors that it has, three at most; none while it rests. A process that forks, and lives on without
    /// serving, must close its copies. A lock lasts, and a block device stays claimed, as long as any copy of the
    /// descriptor is open.
    public var descriptors: [Int32] {
        [opened.buffered.number, opened.syncing.number, opened.directNumber ?? -1].filter { $0 >= 0 }
    }

    /// One more client may write. The first one locks the image (`LockMode`) and claims a block device.
    ///
    /// Call it before the first write, zero or trim of that client. It may block: what `forget` does, and up to two
    /// seconds for an image that another process has.
    /// - Parameter forget: Called if others may have changed the image while there was no writer here. It must forget
    ///   everything that was read of the image. It may wait for reads under way.
    /// - Throws: An error that says what is in the way: the image is read-only, locked, mounted, held, ….
    public func beginWriting(ifChanged forget: () -> Void = {}) throws(ImageError) {
        do throws(ImageError.Problem) {
            guard let writeAccess else { throw .readOnly(opened.readOnlyReason ?? .readOnlyFileSystem) }
            try waitToWrite(writeAccess, forget)
            rings.prepare()
        } catch {
            throw ImageError(path, error)
        }
    }

    /// Waits up to two seconds for another process to give up the image, and holds no lock meanwhile. A server that was
    /// killed while it wrote keeps its lock, and its claim, until the kernel has written. So another one can be started
    /// at once in its place.
    private func waitToWrite(_ access: WriteAccess, _ forget: () -> Void) throws(ImageError.Problem) {
        let deadline = MonotonicTime.now + LockWait.patience
        while true {
            do throws(ImageError.Problem) {
                return try handover.beginWriting(access, forget)
            } catch {
                guard error == .locked || error == .held, MonotonicTime.now < deadline else { throw error }
                usleep(LockWait.pause)
            }
        }
    }

    /// One client fewer may write. Call it as often as `beginWriting` succeeded, and after the last of the client's
    /// data has been written out and synced. The last one unlocks the image, up to 20 ms later if it has just been
    /// changed.
    public func endWriting() {
        guard let writeAccess else { preconditionFailure("nobody can have begun to write") }
        handover.endWriting(writeAccess)
    }

    /// One more client, which may only read. Gives a block device back, if no client may write.
    /// - Parameter forget: See `beginWriting`; called if a read may miss what others had made durable.
    public func beginReading(ifChanged forget: () -> Void = {}) {
        writeAccess?.beginReading()
        handover.beginReading(forget)
    }

    /// Has the turn of a writer that writes nothing. The next one finds out whether there was another one meanwhile. If
    /// there cannot be a turn, or the image is a block device, or writers take no lock, nothing is proven.
    public func settle(ifChanged forget: () -> Void) {
        guard !opened.isBlockDevice, lock == .on else { return }
        if let writeAccess, (try? handover.beginWriting(writeAccess, forget)) != nil {
            handover.endWriting(writeAccess)
        } else {
            usleep(UInt32(ImageStamp.minSettlingTime) * 1000)
            handover.beginReading(forget)
        }
    }

    /// Checks that the path still leads to the image, at most once a second.
    /// - Returns: A sentence for a person if it does not; once only, until it has done so again.
    public func newsOfName() -> String? {
        name.news().map { "\(label): \($0.text(isLate: place.isLate))" }
    }
}
