import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Reading images")
struct ReadingTests {
    private let scratch = Scratch()

    /// Every byte of an image of any size is read, in one go and page by page. What lies past its end is zero.
    @Test(arguments: awkwardSizes, DirectMode.allCases.filter { $0 != .on })
    func everyByte(size: Int, direct: DirectMode) throws {
        let image = try ImageFile(path: scratch.file(pattern(size)), direct: direct)
        let expected = pattern(size) + [UInt8](repeating: 0, count: Int(ImageFile.roundedUp(Int64(size))) - size)
        try expectSame(image.allBytes(), expected)
        try expectSame(image.allBytes { 3 }, expected)
        for page in stride(from: 0, to: size, by: 4096) {
            let memory = PageMemory(4096)
            try image.populate(memory, at: Int64(page))
            if memory.bytes != Array(expected[page..<page + 4096]) {
                Issue.record("page at \(page)")
            }
        }
    }

    /// One read takes more pages than one call, and pages wholly past the end.
    @Test(arguments: [DirectMode.auto, .off])
    func manyPieces(direct: DirectMode) throws {
        let size = 3000 * 4096 + 17
        let image = try ImageFile(path: scratch.file(pattern(size)), direct: direct)
        let memory = PageMemory(3010 * 4096)
        try image.populate(memory, at: 0)
        expectSame(memory.bytes, pattern(size) + [UInt8](repeating: 0, count: memory.count - size))
        let beyond = PageMemory(8192)
        try image.populate(beyond, at: 4096 * 3001)
        expectSame(beyond.bytes, [UInt8](repeating: 0, count: 8192))
        try image.populate(PageMemory(0), at: 0)
    }

    /// Holes are zeroes.
    @Test func holes() throws {
        let image = try ImageFile(path: scratch.hole(5 << 40))
        let memory = PageMemory(1 << 20)
        try image.populate(memory, at: (5 << 40) - (1 << 20))
        expectSame(memory.bytes, [UInt8](repeating: 0, count: 1 << 20))
    }

    /// In an image that has become shorter, what is gone is EIO and what remains is served. All of it is served again
    /// once it has its size back.
    @Test(arguments: [0, 1, 511, 512, 4096, 5000, 8192, 9999], [DirectMode.auto, .off])
    func shrunk(to left: Int, direct: DirectMode) throws {
        let path = scratch.file(pattern(20_000))
        let image = try ImageFile(path: path, direct: direct)
        truncate(path, to: Int64(left))
        #expect(throws: AccessError(EIO)) { try image.allBytes() }
        for page in 0..<5 {
            let memory = PageMemory(4096)
            if (page + 1) * 4096 <= left {
                try image.populate(memory, at: Int64(page * 4096))
                expectSame(memory.bytes, Array(pattern(20_000)[page * 4096..<(page + 1) * 4096]))
            } else {
                #expect(throws: AccessError(EIO)) { try image.populate(memory, at: Int64(page * 4096)) }
            }
        }
        write(pattern(20_000, salt: 5), to: path)
        try expectSame(image.allBytes()[..<20_000], pattern(20_000, salt: 5)[...])
    }

    /// An image that has become longer is served at its old length, with zeroes to the end of the page.
    @Test(arguments: [DirectMode.auto, .off])
    func grown(direct: DirectMode) throws {
        let path = scratch.file(pattern(5000))
        let image = try ImageFile(path: path, direct: direct)
        write(pattern(20_000), to: path)
        #expect(image.size == 5000)
        try expectSame(image.allBytes(), pattern(5000) + [UInt8](repeating: 0, count: 8192 - 5000))
    }

    /// A block device of any number of sectors is read to its end. One that has shrunk gives EIO.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"), arguments: [DirectMode.auto, .off])
    func blockDevice(direct: DirectMode) throws {
        let size = (1 << 20) + 3 * 512
        let device = try LoopDevice(size: Int(size))
        write(pattern(size), to: device.node)
        let image = try ImageFile(path: device.node, direct: direct)
        try expectSame(image.allBytes { 7 }, pattern(size) + [UInt8](repeating: 0, count: 4096 - 3 * 512))
        truncate(device.backing, to: 1 << 19)
        #expect(shell("losetup --set-capacity '\(device.node)'").status == 0)
        #expect(throws: AccessError(EIO)) { try image.allBytes() }
        let memory = PageMemory(4096)
        try image.populate(memory, at: 4096)
        expectSame(memory.bytes, Array(pattern(size)[4096..<8192]))
    }

    /// Reading an image leaves nothing in the page cache, with O_DIRECT or without.
    @Test(
        .enabled(if: Machine.hasDirect, "temporary files are not on a disk here"), arguments: [DirectMode.auto, .off])
    func nothingStaysBehind(direct: DirectMode) throws {
        let path = scratch.file(pattern(8 << 20))
        #expect(shell("sync '\(path)'").status == 0)
        let descriptor = try FileDescriptor.open(path, .readOnly)
        defer { try! descriptor.close() }
        posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_DONTNEED)
        let image = try ImageFile(path: path, direct: direct)
        try expectSame(image.allBytes { 16 }, pattern(8 << 20))
        #expect(cachedPages(descriptor, 8 << 20) < 64)
    }
}

/// The number of a file's pages that the page cache holds.
func cachedPages(_ descriptor: FileDescriptor, _ size: Int) -> Int {
    let map = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor.rawValue, 0)!
    defer { munmap(map, size) }
    var pages = [UInt8](repeating: 0, count: size / 4096)
    mincore(map, size, &pages)
    return pages.count { $0 & 1 == 1 }
}
