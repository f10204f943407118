import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Opening images")
struct OpeningTests {
    private let scratch = Scratch()

    private func problem(_ path: FilePath, direct: DirectMode = .auto) -> ImageError.Problem? {
        do throws(ImageError) {
            _ = try ImageFile(path: path, direct: direct)
            return nil
        } catch {
            #expect(error.path == path)
            #expect(error.description.hasPrefix("\(path): "), "the message names the image")
            #expect(!error.description.contains("\n"))
            #expect(error.code > 0)
            return error.problem
        }
    }

    /// What cannot be an image is refused by name, and a FIFO does not make the server wait.
    @Test func whatIsNoImage() {
        #expect(problem(scratch("nothing")) == .missing)
        #expect(problem(scratch.file(pattern(10)).appending("below")) == .missing)
        #expect(problem(FilePath(scratch.directory)) == .directory)
        #expect(problem("/dev/null") == .special("a character device"))
        #expect(shell("mkfifo '\(scratch("fifo"))'").status == 0)
        #expect(problem(scratch("fifo")) == .special("a FIFO"))
        let long = FilePath("/" + String(repeating: "x", count: 5000))
        #expect(problem(long) == .failed("opening", .fileNameTooLong))
    }

    /// A file without permission to read is refused with that reason. One without permission to write is served for
    /// reading, and says why.
    @Test(.enabled(if: Machine.isRoot, "only root can take another user's rights"))
    func permissions() throws {
        let path = scratch.file(pattern(4096))
        #expect(shell("chmod 755 '\(scratch.directory)'; chmod 600 '\(path)'").status == 0)
        #expect(asNobody { problem(path) } == .unreadable)
        #expect(shell("chmod 644 '\(path)'").status == 0)
        let image = try #require(asNobody { try? ImageFile(path: path) })
        #expect(!image.isWritable)
        #expect(image.readOnlyError?.problem == .readOnly(.permissionDenied))
        try expectSame(image.allBytes(), pattern(4096))
    }

    /// A process that has given up its rights can write an image that it opened for writing as root.
    @Test(.enabled(if: Machine.isRoot, "only root can take another user's rights"))
    func rightsGivenUp() throws {
        let path = scratch.file(pattern(10_000))
        #expect(shell("chmod 600 '\(path)'").status == 0)
        let image = try ImageFile(path: path)
        asNobody {
            #expect(throws: Never.self) {
                image.privilegesDropped()
                try image.beginWriting()
                try image.writeOut(PageMemory(pattern(10_000, salt: 1)), at: 0)
                try image.makeDurable()
                try image.zero(0..<100, mayTrim: true, onlyIfFast: false)
                image.endWriting()
            }
        }
        expectSame(contents(of: path), [UInt8](repeating: 0, count: 100) + pattern(10_000, salt: 1)[100...])
    }

    /// An image opened for reading only refuses every change with EROFS.
    @Test func readOnly() throws {
        let image = try ImageFile(path: scratch.file(pattern(8192)), readOnly: true)
        #expect(!image.isWritable)
        #expect(throws: AccessError(EROFS)) { try image.writeOut(PageMemory(4096), at: 0) }
        #expect(throws: AccessError(EROFS)) { try image.zero(0..<1, mayTrim: true, onlyIfFast: false) }
        #expect(throws: AccessError(EROFS)) { try image.trim(0..<4096) }
        #expect(throws: ImageError.self) { try image.beginWriting() }
        try expectSame(image.allBytes(), pattern(8192))
        try image.makeDurable()
    }

    /// The size is that of the file, whatever it is, and an image of 0 bytes opens.
    @Test(arguments: awkwardSizes)
    func size(_ size: Int) throws {
        let image = try ImageFile(path: scratch.file(pattern(size)))
        #expect(image.size == Int64(size))
        #expect(image.isWritable && !image.isBlockDevice)
        #expect(image.logicalBlockSize >= 512)
    }

    /// Two names of one file are one image; two files are two.
    @Test func identity() throws {
        let path = scratch.file(pattern(1))
        #expect(shell("cd '\(scratch.directory)' && ln -s image soft && ln image hard && cp image other").status == 0)
        let identity = try ImageFile(path: path).identity
        #expect(try ImageFile(path: scratch("soft")).identity == identity)
        #expect(try ImageFile(path: scratch("hard")).identity == identity)
        #expect(try ImageFile(path: scratch("other")).identity != identity)
    }

    /// If there is O_DIRECT, auto and on take it, and off does not.
    @Test(.enabled(if: Machine.hasDirect, "temporary files here have no O_DIRECT"))
    func direct() throws {
        let path = scratch.file(pattern(4097))
        #expect(try ImageFile(path: path).isDirect)
        #expect(try ImageFile(path: path, direct: .on).isDirect)
        #expect(try !ImageFile(path: path, direct: .off).isDirect)
        #expect(try ImageFile(path: scratch.file([], named: "empty"), direct: .on).isDirect)
    }

    /// If O_DIRECT is refused, direct=on says so, and auto serves all the same.
    @Test(.enabled(if: Machine.canMount("ramfs"), "ramfs cannot be mounted"))
    func directRefused() throws {
        let mount = try Mount("ramfs")
        let path = mount.scratch.file(pattern(10_000))
        #expect(problem(path, direct: .on) == .noDirect(.invalidArgument))
        let image = try ImageFile(path: path)
        #expect(!image.isDirect)
        try expectSame(image.allBytes()[..<10_000], pattern(10_000)[...])
    }

    /// Size, block size and identity of a block device are the device's, by whatever node.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"), arguments: [512, 4096])
    func blockDevice(sector: Int) throws {
        let size: Int64 = sector == 512 ? (1 << 20) + 512 : 1 << 20
        let device = try LoopDevice(size: Int(size), options: "--sector-size", "\(sector)")
        let image = try ImageFile(path: device.node)
        #expect(image.isBlockDevice && image.isWritable)
        #expect(image.size == size)
        #expect(image.logicalBlockSize == Int64(sector))
        let scratch = Scratch()
        let number = status(of: device.node).st_rdev
        #expect(shell("mknod '\(scratch("node"))' b \((number >> 8) & 0xFFF) \(number & 0xFF)").status == 0)
        if let other = try? ImageFile(path: scratch("node"), readOnly: true) {
            #expect(other.identity == image.identity)
        }
        #expect(image.identity != (try ImageFile(path: device.backing)).identity)
    }

    /// A disk spins if the kernel says so, for the device and for a file on it.
    @Test(.enabled(if: Machine.canMountExt4, "no ext4 on a loop device here"), arguments: [false, true])
    func rotational(isRotational: Bool) throws {
        let mount = try Mount(ext4: 8 << 20)
        let device = try #require(mount.device?.node)
        let attribute = "/sys/block/\(device.lastComponent!)/queue/rotational"
        #expect(shell("echo \(isRotational ? 1 : 0) > \(attribute)").status == 0)
        #expect(try ImageFile(path: device, readOnly: true).isRotational == isRotational)
        #expect(try ImageFile(path: mount.scratch.file(pattern(10))).isRotational == isRotational)
    }

    /// A file on no device that the kernel knows does not count as spinning.
    @Test(.enabled(if: Machine.canMount("tmpfs"), "tmpfs cannot be mounted"))
    func rotationalUnknown() throws {
        let mount = try Mount("tmpfs", options: "size=1m")
        #expect(try !ImageFile(path: mount.scratch.file(pattern(10))).isRotational)
    }

    /// A read-only device is served for reading.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func readOnlyDevice() throws {
        let device = try LoopDevice(size: 1 << 20, options: "--read-only")
        let image = try ImageFile(path: device.node)
        #expect(!image.isWritable)
        #expect(image.readOnlyError != nil)
        try expectSame(image.allBytes(), [UInt8](repeating: 0, count: 1 << 20))
    }
}
