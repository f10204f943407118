import CLinux
import Glibc
import Paging
import SystemPackage

/// The descriptors of an image, and what was found out while opening them. They are closed when it goes, or when the
/// image rests.
///
/// Up to three open file descriptions of one file. All are made at once, because later the process may lack the
/// permission:
/// - `buffered` goes through the page cache. It serves what O_DIRECT cannot: bytes that fill no block, the tail of an
///   image, and everything if there is no O_DIRECT. It is also asked for holes: SEEK_DATA and SEEK_HOLE move its file
///   position, which nothing here uses.
/// - `direct` goes past the page cache. If it exists, locks are held on it.
/// - `syncing` serves fdatasync alone. The kernel reports a failed write-out once to every open file description, and
///   sync_file_range consumes the report as fdatasync does. On a description of its own no sync ever misses one. If the
///   image is a block device, this is also the description that claims it (`WriteAccess`).
struct OpenedImage: ~Copyable, Sendable {
    let buffered: OwnedDescriptor
    let direct: OwnedDescriptor?
    let syncing: OwnedDescriptor

    let file: linux_file
    /// Tells the file from a later one with its inode number: `birth(of:)`.
    let birth: UInt64
    /// Bytes in the image.
    let size: Int64
    /// Bytes in the smallest unit that the device reads and writes, or that O_DIRECT takes on its filesystem; 512 if
    /// the kernel does not tell.
    let logicalBlockSize: Int64
    /// The reason that it is not open for writing, if it is not.
    let readOnlyReason: Errno?
    /// True if reads and writes through the page cache can be made to leave nothing there (RWF_DONTCACHE).
    let dropsBehindByItself: Bool

    /// True if O_DIRECT takes single logical blocks, and these are smaller than a page.
    let writesParts: Bool

    /// Its absolute path, if the next server is to find it.
    let keptPath: String?

    var isBlockDevice: Bool { file.kind == LINUX_BLOCK_DEVICE }

    /// The number of `direct`.
    var directNumber: Int32? { Self.number(of: direct) }

    /// - Parameter readOnly: Do not try to open it for writing.
    /// - Parameter mark: What the descriptors get that move bytes of the Memory, if the next server takes that over.
    init(
        _ place: ImagePlace, direct mode: DirectMode, readOnly: Bool, mark: ServerMark? = nil
    ) throws(ImageError.Problem) {
        let expected = try Self.kindOfImage(at: place)
        var reason: Errno? = readOnly ? .readOnlyFileSystem : nil
        let buffered = try Self.openBuffered(place, expected, &reason)
        let file = try Self.status(of: buffered)
        guard file.kind == expected else { throw .replaced }
        let size = try Self.size(of: buffered, file)
        let syncing = try Self.openAgain(place, file, writable: false, direct: false)
        let possible = mark == nil ? mode : try Self.keptMode(mode, buffered, file)
        let direct = try Self.openDirect(place, file, writable: reason == nil, size: size, possible)
        if let mark {
            try Self.put(mark, on: buffered.number)
            if let number = Self.number(of: direct) { try Self.put(mark, on: number) }
            keptPath = try Self.absolutePath(of: buffered, file)
        } else {
            keptPath = nil
        }

        self.file = file
        self.size = size
        birth = Self.birth(of: buffered.number)
        readOnlyReason = reason
        logicalBlockSize = Self.logicalBlockSize(of: buffered, file)
        dropsBehindByItself = Self.probe(buffered, at: 0, uncached: true) == nil
        writesParts = Self.takesBlocks(direct, of: Self.toldBlockSize(of: buffered, file), size: size)
        // The pager reads ahead, and knows more than the kernel does. Only advice: a refusal loses nothing.
        _ = linux_expect_random(buffered.number)
        self.direct = direct
        self.buffered = buffered
        self.syncing = syncing
    }

    private static func number(of descriptor: borrowing OwnedDescriptor?) -> Int32? {
        switch descriptor {
        case .some(let descriptor): descriptor.number
        case .none: nil
        }
    }

    /// Closes the descriptors. Nobody uses them.
    borrowing func close() {
        buffered.close()
        syncing.close()
        switch direct {
        case .some(let direct): direct.close()
        case .none: break
        }
    }

    /// Takes over the descriptors of `other`, which `isLike` this. Nobody uses them.
    borrowing func take(_ other: borrowing OpenedImage) {
        buffered.take(other.buffered)
        syncing.take(other.syncing)
        switch direct {
        case .some(let direct): Self.take(other.direct, into: direct)
        case .none: break
        }
    }

    private static func take(_ other: borrowing OwnedDescriptor?, into direct: borrowing OwnedDescriptor) {
        switch other {
        case .some(let other): direct.take(other)
        case .none: preconditionFailure("the other image is not like this one")
        }
    }

    /// Whether what was found out is the same: the file, its size, and how it can be reached.
    borrowing func isLike(_ other: borrowing OpenedImage) -> Bool {
        file.kind == other.file.kind && file.device == other.file.device && file.inode == other.file.inode
            && birth == other.birth && file.special_device == other.file.special_device && size == other.size
            && logicalBlockSize == other.logicalBlockSize && readOnlyReason == other.readOnlyReason
            && dropsBehindByItself == other.dropsBehindByItself && writesParts == other.writesParts
            && (directNumber == nil) == (other.directNumber == nil)
    }

    // MARK: - The file

    /// When the file was made, nanoseconds since 1970. If the filesystem does not tell, as NFSv3 and FUSE do not, it is
    /// a number made of the file's handle. 0 if there is neither.
    static func birth(of descriptor: Int32) -> UInt64 {
        let birth = linux_birth(descriptor)
        return birth != 0 ? birth : linux_handle(descriptor)
    }

    /// Looks at it before opening it, because opening a FIFO waits and opening a device can do things.
    private static func kindOfImage(at place: ImagePlace) throws(ImageError.Problem) -> linux_file_kind {
        let file: linux_file
        do throws(Errno) {
            file = try place.status()
        } catch {
            throw problem(error, "opening")
        }
        switch file.kind {
        case LINUX_REGULAR, LINUX_BLOCK_DEVICE: return file.kind
        case LINUX_DIRECTORY: throw .directory
        case LINUX_CHARACTER_DEVICE: throw .special("a character device")
        case LINUX_FIFO: throw .special("a FIFO")
        case LINUX_SOCKET: throw .special("a socket")
        default: throw .special("not a regular file")
        }
    }

    private static func problem(_ errno: Errno, _ call: String) -> ImageError.Problem {
        switch errno {
        case .noSuchFileOrDirectory, .notDirectory: .missing
        case .permissionDenied: .unreadable
        case .improperLink: .outside
        case .resourceTemporarilyUnavailable: .leased
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .tooManyFiles(errno)
        default: .failed(call, errno)
        }
    }

    private static func status(of descriptor: borrowing OwnedDescriptor) throws(ImageError.Problem) -> linux_file {
        var file = linux_file()
        do throws(Errno) {
            _ = try Linux.checked(linux_fstat(descriptor.number, &file))
        } catch {
            throw .failed("fstat", error)
        }
        return file
    }

    private static func size(
        of descriptor: borrowing OwnedDescriptor, _ file: linux_file
    ) throws(ImageError.Problem) -> Int64 {
        guard file.kind == LINUX_BLOCK_DEVICE else { return file.size }
        do throws(Errno) {
            return try Linux.checked(linux_block_size(descriptor.number))
        } catch {
            throw .failed("asking for the device's size", error)
        }
    }

    private static func logicalBlockSize(of descriptor: borrowing OwnedDescriptor, _ file: linux_file) -> Int64 {
        if file.kind == LINUX_BLOCK_DEVICE { return Int64(max(512, linux_block_logical_size(descriptor.number))) }
        return toldBlockSize(of: descriptor, file) ?? 512
    }

    /// The same, but nil if the kernel does not tell, and so perhaps goes through the page cache with less than a page.
    private static func toldBlockSize(of descriptor: borrowing OwnedDescriptor, _ file: linux_file) -> Int64? {
        if file.kind == LINUX_BLOCK_DEVICE { return logicalBlockSize(of: descriptor, file) }
        var memory: UInt32 = 0
        var offset: UInt32 = 0
        let isTold = linux_direct_alignment(descriptor.number, &memory, &offset) == 1
        return isTold && offset > 0 ? Int64(offset) : nil
    }

    // MARK: - For the next server

    /// What of `mode` is possible if a server's locks must last as long as its I/O.
    private static func keptMode(
        _ mode: DirectMode, _ descriptor: borrowing OwnedDescriptor, _ file: linux_file
    ) throws(ImageError.Problem) -> DirectMode {
        if file.kind == LINUX_BLOCK_DEVICE { return mode }
        switch linux_ending(descriptor.number) {
        case Int32(LINUX_ENDS_WITH_LOCKS.rawValue): return mode
        case Int32(LINUX_OUTLIVES_LOCKS.rawValue): throw .outlivesLocks
        default:
            if mode == .on { throw .directOutlivesLocks }
            return .off
        }
    }

    private static func put(_ mark: ServerMark, on descriptor: Int32) throws(ImageError.Problem) {
        do throws(Errno) {
            try mark.put(on: descriptor)
        } catch {
            let isTaken = error == .resourceTemporarilyUnavailable || error == .permissionDenied
            throw isTaken ? .lockedWhole : .unmarkable(error)
        }
    }

    /// The path that leads to the file now, without symbolic links.
    private static func absolutePath(
        of descriptor: borrowing OwnedDescriptor, _ file: linux_file
    ) throws(ImageError.Problem) -> String {
        // Longer than any path that can be kept.
        var bytes = [UInt8](repeating: 0, count: KeptImage.maxPath + 1)
        let number = descriptor.number
        let count: Int = bytes.withUnsafeMutableBytes {
            readlink("/proc/self/fd/\(number)", $0.baseAddress!, $0.count)
        }
        guard count >= 0 else { throw .pathless(Errno(rawValue: errno)) }
        guard count <= KeptImage.maxPath, let path = String(validating: bytes.prefix(count), as: UTF8.self) else {
            throw .unkeptPath
        }
        // The kernel adds a remark to the path of a file that has been deleted.
        var found = linux_file()
        let answer = path.withCString { linux_stat($0, &found) }
        guard answer == 0 else { throw .pathless(Errno(rawValue: -answer)) }
        guard found.device == file.device, found.inode == file.inode else { throw .replaced }
        return path
    }

    // MARK: - Descriptors

    /// Opens for writing if possible, unless `reason` already says why not; otherwise for reading.
    ///
    /// Whatever refuses the writing, the image can be served for reading if that works. It may be permission, a
    /// read-only filesystem or device, a program that is being run, or a mounted device on a kernel that guards those.
    private static func openBuffered(
        _ place: ImagePlace, _ kind: linux_file_kind, _ reason: inout Errno?
    ) throws(ImageError.Problem) -> OwnedDescriptor {
        if reason == nil {
            do throws(Errno) {
                let descriptor = try place.open(writable: true, direct: false)
                // Opening a read-only device for writing succeeds; only the writing fails.
                let isReadOnly = kind == LINUX_BLOCK_DEVICE && linux_block_read_only(descriptor.number) != 0
                if !isReadOnly { return descriptor }
                reason = .readOnlyFileSystem
            } catch {
                if isPassing(error) || isOfTheName(error) { throw problem(error, "opening") }
                reason = error
            }
        }
        do throws(Errno) {
            return try place.open(writable: false, direct: false)
        } catch {
            throw problem(error, "opening")
        }
    }

    /// Why it cannot be opened for writing, if it can be opened for reading. Nothing is read.
    static func readOnlyReason(at place: ImagePlace) -> Errno? {
        var reason: Errno?
        guard let kind = try? kindOfImage(at: place), (try? openBuffered(place, kind, &reason)) != nil else {
            return nil
        }
        return reason
    }

    /// Whether the process or the system lacks something at the moment, or another program has a lease on the file.
    /// That says nothing about the image.
    private static func isPassing(_ error: Errno) -> Bool {
        [.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory, .resourceTemporarilyUnavailable].contains(error)
    }

    /// Whether the name leads elsewhere by now. That says nothing about the permission to write the image.
    private static func isOfTheName(_ error: Errno) -> Bool {
        [.noSuchFileOrDirectory, .notDirectory, .improperLink, .tooManySymbolicLinkLevels].contains(error)
    }

    /// Opens the same file once more. By its path, because /proc may be missing; so it checks that the file is the
    /// same.
    private static func openAgain(
        _ place: ImagePlace, _ file: linux_file, writable: Bool, direct: Bool
    ) throws(ImageError.Problem) -> OwnedDescriptor {
        do throws(Errno) {
            let descriptor = try place.open(writable: writable, direct: direct)
            var found = linux_file()
            _ = try Linux.checked(linux_fstat(descriptor.number, &found))
            guard found.device == file.device, found.inode == file.inode else { throw .staleNFSFileHandle }
            return descriptor
        } catch {
            throw error == .staleNFSFileHandle
                ? .replaced : isPassing(error) ? problem(error, "opening") : .failed("opening", error)
        }
    }

    // MARK: - O_DIRECT

    /// A descriptor past the page cache, or nil if the filesystem refuses one and `mode` allows the page cache.
    private static func openDirect(
        _ place: ImagePlace, _ file: linux_file, writable: Bool, size: Int64, _ mode: DirectMode
    ) throws(ImageError.Problem) -> OwnedDescriptor? {
        if mode == .off { return nil }
        do throws(ImageError.Problem) {
            let descriptor = try openAgain(place, file, writable: writable, direct: true)
            if let refusal = directRefusal(of: descriptor, size: size) { throw .noDirect(refusal) }
            return descriptor
        } catch {
            if case .tooManyFiles = error { throw error }
            if error == .replaced || error == .leased { throw error }
            if mode == .auto { return nil }
            if case .failed(_, let errno) = error { throw .noDirect(errno) }
            throw error
        }
    }

    /// The reason that pages of 4096 bytes cannot be reached directly, if they cannot. Some filesystems accept the open
    /// and refuse the transfer. Some accept both and go through the page cache all the same, and tell if asked. And a
    /// device can have larger blocks. So this function both asks and tries.
    private static func directRefusal(of descriptor: borrowing OwnedDescriptor, size: Int64) -> Errno? {
        var memory: UInt32 = 0
        var offset: UInt32 = 0
        if linux_direct_alignment(descriptor.number, &memory, &offset) == 1 {
            let fits = (1...UInt32(ImageFile.pageSize)).contains(offset) && memory <= UInt32(ImageFile.pageSize)
            if !fits { return .invalidArgument }
        }
        // The second page, if there is one: only blocks of a page or less begin there.
        return probe(descriptor, at: size >= 2 * ImageFile.pageSize ? ImageFile.pageSize : 0, uncached: false)
    }

    /// Whether single blocks of this size, less than a page, can be reached directly. This function tries.
    private static func takesBlocks(_ direct: borrowing OwnedDescriptor?, of block: Int64?, size: Int64) -> Bool {
        guard let block, block < ImageFile.pageSize, size >= 2 * block else { return false }
        switch direct {
        case .some(let direct): return probe(direct, at: block, length: Int(block), uncached: false) == nil
        case .none: return false
        }
    }

    /// Reads a page, or less, and tells why this way of reading is refused, if it is. If it cannot be read for another
    /// reason, such as a bad sector, that proves nothing against the way.
    private static func probe(
        _ descriptor: borrowing OwnedDescriptor, at offset: Int64, length: Int = Int(ImageFile.pageSize), uncached: Bool
    ) -> Errno? {
        let page = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: Int(ImageFile.pageSize))
        defer { page.deallocate() }
        var piece = iovec(iov_base: page, iov_len: length)
        let number = descriptor.number
        do throws(Errno) {
            _ = try Linux.checked(linux_preadv(number, &piece, 1, offset, uncached))
            return nil
        } catch {
            return [.invalidArgument, .notSupportedOnSocket, .notSupported].contains(error) ? error : nil
        }
    }
}
