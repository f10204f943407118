import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

/// Writes that begin or end inside a page, past the page cache.
@Suite("Writing parts of pages")
struct WritingPartsTests {
    private static let size = 1 << 20
    private let scratch = Scratch()

    /// Writes `bytes` at `offset`, whole blocks, in pieces as the pager makes them: the part of the first page, the
    /// whole pages, and the part of the last one, each in memory that begins with a page.
    private func write(_ bytes: [UInt8], at offset: Int, to image: ImageFile) throws {
        let pageSize = Int(ImageFile.pageSize)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count + 2 * pageSize, alignment: pageSize)
        defer { memory.deallocate() }
        var pieces: [iovec] = []
        var (position, place) = (offset, memory)
        while position < offset + bytes.count {
            let count = min(pageSize - position % pageSize, offset + bytes.count - position)
            bytes.withUnsafeBytes { _ = memcpy(place, $0.baseAddress! + position - offset, count) }
            pieces.append(iovec(iov_base: place, iov_len: count))
            position += count
            place += pageSize
        }
        try pieces.withUnsafeBufferPointer { try image.writeParts($0, at: Int64(offset)) }
    }

    /// Writes such ranges of `image`, whose bytes are `pattern`, and returns what must be there.
    private func writeSome(_ image: ImageFile, unit: Int) throws -> [UInt8] {
        let size = Int(image.size)
        var wanted = pattern(size)
        let ranges = [
            unit..<2 * unit, 8192 + unit..<8192 + 2 * unit, 4096 * 4 - unit..<4096 * 4,
            5 * 4096 - unit..<5 * 4096 + unit, 6 * 4096 + unit..<40 * 4096 + unit, size - unit..<size,
        ]
        for (salt, range) in ranges.enumerated() {
            let bytes = pattern(range.count, salt: salt + 77)
            try write(bytes, at: range.lowerBound, to: image)
            wanted.replaceSubrange(range, with: bytes)
        }
        return wanted
    }

    /// Exactly the bytes are written. What lies beside them in the same pages stays, of a file of any size that has
    /// whole blocks.
    @Test(
        .enabled(if: Machine.hasDirect, "temporary files are not on a disk here"),
        arguments: [size, size + 512, size + 3 * 512])
    func exactBytes(size: Int) throws {
        let path = scratch.file(pattern(size))
        let image = try ImageFile(path: path, direct: .on)
        guard let unit = image.partUnit else { return #expect(image.logicalBlockSize >= 4096) }
        guard size % unit == 0 else { return }
        let wanted = try writeSome(image, unit: unit)
        expectSame(contents(of: path), wanted)
        try expectSame(image.allBytes()[..<size], wanted)
        try image.makeDurable()
        #expect(contents(of: path).count == size)
    }

    /// The same on a device with blocks of 512 bytes, which tells that it has them.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func blockDevice() throws {
        let size = Self.size + 3 * 512
        let device = try LoopDevice(size: size)
        let all = PageMemory(pattern(size))
        try ImageFile(path: device.node).writeOut(all, at: 0)
        let image = try ImageFile(path: device.node, direct: .on)
        #expect(image.partUnit == 512)
        let wanted = try writeSome(image, unit: 512)
        expectSame(contents(of: device.node), wanted)
        try image.makeDurable()
        expectSame(contents(of: device.backing), wanted)
    }

    /// Nothing is read and nothing stays in the page cache.
    @Test(.enabled(if: Machine.hasDirect, "temporary files are not on a disk here"))
    func nothingStaysBehind() throws {
        let path = scratch.file(pattern(Self.size))
        let image = try ImageFile(path: path, direct: .on)
        guard let unit = image.partUnit else { return #expect(image.logicalBlockSize >= 4096) }
        try image.makeDurable()
        let descriptor = try FileDescriptor.open(path, .readOnly)
        defer { try! descriptor.close() }
        posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_DONTNEED)
        #expect(cachedPages(descriptor, Self.size) == 0)
        let wanted = try writeSome(image, unit: unit)
        #expect(cachedPages(descriptor, Self.size) == 0)
        expectSame(contents(of: path), wanted)
    }

    /// An image that has become shorter is not made longer: EIO, and not a byte is written.
    @Test(.enabled(if: Machine.hasDirect, "temporary files are not on a disk here"), arguments: [0, 8192, 8704])
    func shrunk(to left: Int) throws {
        let path = scratch.file(pattern(Self.size))
        let image = try ImageFile(path: path, direct: .on)
        guard let unit = image.partUnit else { return #expect(image.logicalBlockSize >= 4096) }
        truncate(path, to: Int64(left))
        let bytes = pattern(4096, salt: 1)
        #expect(throws: AccessError(EIO)) { try write(bytes, at: 8192 - unit, to: image) }
        #expect(throws: AccessError(EIO)) { try write(bytes, at: 16384 + unit, to: image) }
        expectSame(contents(of: path), pattern(left))
    }

    /// An image that is open for reading only is not written.
    @Test(.enabled(if: Machine.hasDirect, "temporary files are not on a disk here")) func readOnly() throws {
        let path = scratch.file(pattern(8192))
        let image = try ImageFile(path: path, direct: .on, readOnly: true)
        #expect(throws: AccessError(EROFS)) { try write(pattern(512, salt: 1), at: 512, to: image) }
        expectSame(contents(of: path), pattern(8192))
    }

    /// Each call is counted for the next server, whether it succeeds or fails.
    @Test(
        .enabled(if: Machine.canLoop, "no loop devices here"),
        .enabled(if: StateRig.isAvailable, "\(StateRig.needs)"))
    func counts() throws {
        let rig = try StateRig()
        let device = try LoopDevice(size: Self.size)
        let image = try rig.open(device.node)
        try #require(image.partUnit == 512)
        try image.beginWriting()
        defer { image.endWriting() }
        let record = rig.state.image(0).record
        #expect(record.pointee.writes_begun == 0)
        for calls in 1...3 as ClosedRange<UInt64> {
            try write(pattern(1024), at: 4096 - 512, to: image)
            #expect(record.pointee.writes_begun == calls && record.pointee.writes_ended == calls)
        }
    }

    /// There is no unit where the kernel would read the rest of a page: through the page cache, and where a block is as
    /// large as a page.
    @Test func noUnit() throws {
        let image = try ImageFile(path: scratch.file(pattern(8192)), direct: .off)
        #expect(image.partUnit == nil)
    }

    @Test(.enabled(if: Machine.canLoop, "no loop devices here")) func largeBlocks() throws {
        let device = try LoopDevice(size: Self.size, options: "--sector-size", "4096")
        let image = try ImageFile(path: device.node, direct: .on)
        #expect(image.logicalBlockSize == 4096 && image.partUnit == nil)
    }
}
