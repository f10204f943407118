import CLinux
import Paging
import SystemPackage

/// An image in a regular file or a block device.
///
/// **Past the page cache.** Whole base pages are read and written with O_DIRECT where the filesystem has it, so that
/// the pager's memory is all that an image takes. Through the page cache goes what O_DIRECT cannot do: the tail of an
/// image whose size is no multiple of 4096 (a whole block there would make the file longer), the edges of a range that
/// is zeroed; and everything where there is no O_DIRECT. What went through the page cache is written back and dropped
/// from it before the call returns, so that the two ways never disagree, on filesystems that do not see to that
/// themselves too, and nothing is cached twice.
///
/// **Size.** The size is that of the opening. An image that has become shorter since answers EIO for what is gone, and
/// is never made longer; one that has become longer is served as long as it was.
///
/// **Privileges.** All descriptors are made when it is opened, for writing too if that is permitted, as a server gives
/// up its privileges and its directory afterwards. Being open for writing keeps nobody out: that begins with
/// `beginWriting`.
///
/// **Threads.** Any thread may call anything at any time, within the rules of `Accessor`. Nothing that serves allocates
/// or takes a lock.
///
/// It is split by concern: Reading, Writing, Zeroing, Extents. `OpenedImage` opens, `WriteAccess` locks, `Handover`
/// sees what others have changed, `ImageName` whether the path still leads here.
public final class ImageFile: ImageSource {
    /// Bytes in a base page: the unit of O_DIRECT here.
    static let pageSize: Int64 = 4096

    /// The path that it was opened by.
    public let path: FilePath
    /// Bytes in the image. Any number, 0 too.
    public let size: Int64
    /// What makes two opens the same image, by whatever path: device and inode; for a block device its number.
    public let identity: ImageIdentity
    public let isBlockDevice: Bool
    /// Whether it is open for writing. `readOnlyError` tells why not.
    public let isWritable: Bool
    /// Why it cannot be written, if it cannot.
    public let readOnlyError: ImageError?
    /// Whether whole pages go past the page cache. False with `direct=off` and where O_DIRECT was refused.
    public let isDirect: Bool
    /// Whether the device, or the one that holds the file, is a spinning disk. False where that cannot be told.
    public let isRotational: Bool
    /// Bytes in the least unit that the device reads and writes, or that its filesystem takes for O_DIRECT; 512 if not
    /// told.
    public let logicalBlockSize: Int64

    let opened: OpenedImage
    let zeroes: ZeroBytes
    let rings = WriteRings()
    let offloadsZeroes: Bool
    private let writeAccess: WriteAccess?
    private let handover: Handover
    private let name: ImageName

    /// Opens an image. To be called while the process still has its privileges; allocates.
    ///
    /// - Parameters:
    ///   - path: A regular file or block device, or a symbolic link to one.
    ///   - direct: Whether to go past the page cache.
    ///   - lock: Whether writers lock it.
    ///   - readOnly: Do not open it for writing, even if that is permitted.
    /// - Throws: An error that tells a person what is wrong and the way out.
    public init(
        path: FilePath, direct: DirectMode = .auto, lock: LockMode = .on, readOnly: Bool = false
    ) throws(ImageError) {
        do throws(ImageError.Problem) {
            opened = try OpenedImage(path, direct: direct, readOnly: readOnly)
            guard let zeroes = ZeroBytes() else { throw .failed("mapping memory", .noMemory) }
            self.zeroes = zeroes
        } catch {
            throw ImageError(path, error)
        }
        self.path = path
        size = opened.size
        isBlockDevice = opened.isBlockDevice
        identity = Self.identity(of: opened.file)
        readOnlyError = opened.readOnlyReason.map { ImageError(path, .readOnly($0)) }
        isWritable = opened.readOnlyReason == nil
        isDirect = opened.directNumber != nil
        logicalBlockSize = opened.logicalBlockSize
        let properties = DeviceProperties(of: isBlockDevice ? opened.file.special_device : opened.file.device)
        isRotational = properties.isRotational
        offloadsZeroes = isBlockDevice && properties.offloadsZeroes
        let descriptor = opened.buffered.number
        // The lock is on what rings write to. They may go on for a moment when the process has been killed, and the
        // lock lasts as long.
        let locked = opened.directNumber ?? descriptor
        writeAccess = isWritable ? WriteAccess(descriptor: locked, isBlockDevice: isBlockDevice, mode: lock) : nil
        handover = Handover(ChangeWatch(descriptor: descriptor, isBlockDevice: isBlockDevice))
        name = ImageName(path, opened.file, descriptor: descriptor)
    }

    /// No file has inode 0, so that no device is taken for one.
    private static func identity(of file: linux_file) -> ImageIdentity {
        if file.kind == LINUX_BLOCK_DEVICE { return ImageIdentity(device: file.special_device, inode: 0) }
        return ImageIdentity(device: file.device, inode: file.inode)
    }
}

// MARK: - Who comes and leaves

extension ImageFile {
    public var label: String { path.string }

    public var readOnlyReason: String? { readOnlyError.map { "\($0)" } }

    /// To be called once the process has the privileges that it keeps, and before the first client. Gives a block
    /// device back to whoever wants to claim it until there is a writer, if it can be claimed again then. Without this
    /// call the device stays claimed until the first writer has left.
    public func privilegesDropped() {
        writeAccess?.privilegesDropped()
    }

    /// The descriptors that it has, four at the most. A process that forks, and lives on without serving, has to close
    /// its copies: a lock lasts, and a block device stays claimed, as long as any copy of the descriptor is open.
    public var descriptors: [Int32] {
        [opened.buffered.number, opened.syncing.number] + [opened.directNumber, writeAccess?.claim].compactMap(\.self)
    }

    /// One client more may write. The first one locks the image (`LockMode`) and claims a block device.
    ///
    /// To be called before the first write, zero or trim of that client. Takes mutexes; it blocks on nothing else but
    /// what `forget` does.
    /// - Parameter forget: Called where others may have changed the image while there was no writer here. It is to
    ///   forget all that was read of the image. It may wait for reads under way.
    /// - Throws: An error that says who is in the way: the image is read-only, locked, mounted, held, ….
    public func beginWriting(ifChanged forget: () -> Void = {}) throws(ImageError) {
        do throws(ImageError.Problem) {
            guard let writeAccess else { throw .readOnly(opened.readOnlyReason ?? .readOnlyFileSystem) }
            try handover.beginWriting(writeAccess, forget)
            rings.prepare()
        } catch {
            throw ImageError(path, error)
        }
    }

    /// One client less may write; to be called as often as `beginWriting` succeeded, and after the last of its data has
    /// been written out and synced. The last one unlocks the image, up to 20 ms later where it has just been changed.
    public func endWriting() {
        guard let writeAccess else { preconditionFailure("nobody can have begun to write") }
        handover.endWriting(writeAccess)
    }

    /// One client more, that may only read. Gives a block device back, if no client may write.
    /// - Parameter forget: As of `beginWriting`; called where something that others had made durable may not be found.
    public func beginReading(ifChanged forget: () -> Void = {}) {
        writeAccess?.beginReading()
        handover.beginReading(forget)
    }

    /// Looks whether the path still leads to the image, at most once a second.
    /// - Returns: A sentence for a person where it does not, once until it has done so again.
    public func newsOfName() -> String? {
        name.news().map { "\(path): \($0.text)" }
    }
}
