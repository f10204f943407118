import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Writing images")
struct WritingTests {
    private let scratch = Scratch()

    /// Every byte is written, seen by others and read back. No size makes the image longer.
    @Test(arguments: awkwardSizes, [DirectMode.auto, .off])
    func everyByte(size: Int, direct: DirectMode) throws {
        let path = scratch.file(pattern(size))
        let image = try ImageFile(path: path, direct: direct)
        let wanted = pattern(size, salt: 13)
        try image.writeOut(PageMemory(wanted) { 2 }, at: 0)
        expectSame(contents(of: path), wanted)
        try expectSame(image.allBytes()[..<size], wanted[...])
        try image.makeDurable()
        #expect(contents(of: path).count == size)
        // Again, page by page from the end, beginning with one past it.
        let last = Int(ImageFile.roundedUp(Int64(size)))
        for page in stride(from: last, through: 0, by: -4096) {
            try image.writeOut(PageMemory(pattern(4096, salt: page)), at: Int64(page))
        }
        expectSame(contents(of: path), pattern(size))
    }

    /// One write takes more pages than one call, up to an odd end.
    @Test(arguments: [DirectMode.auto, .off])
    func manyPieces(direct: DirectMode) throws {
        let size = 3000 * 4096 + 17
        let path = scratch.hole(Int64(size))
        let image = try ImageFile(path: path, direct: direct)
        try image.writeOut(PageMemory(pattern(3010 * 4096)), at: 0)
        expectSame(contents(of: path), pattern(size))
        try image.makeDurable()
    }

    /// What another program writes to the tail is read. A tail once written is never hidden by an older one.
    @Test func tailIsCoherent() throws {
        let path = scratch.file(pattern(5000))
        let image = try ImageFile(path: path)
        for round in 0..<50 {
            let bytes = pattern(5000, salt: round)
            try image.writeOut(PageMemory(bytes), at: 0)
            try expectSame(image.allBytes()[..<5000], bytes[...])
            expectSame(contents(of: path), bytes)
        }
    }

    /// A write-out never lengthens an image that has become shorter: EIO, and not a byte is written.
    @Test(arguments: [0, 100, 4096, 9999], [DirectMode.auto, .off])
    func shrunk(to left: Int, direct: DirectMode) throws {
        let path = scratch.file(pattern(10_000))
        let image = try ImageFile(path: path, direct: direct)
        truncate(path, to: Int64(left))
        let memory = PageMemory(pattern(10_000, salt: 1))
        #expect(throws: AccessError(EIO)) { try image.writeOut(memory, at: 0) }
        #expect(throws: AccessError(EIO)) { try image.zero(0..<10_000, mayTrim: false, onlyIfFast: false) }
        #expect(throws: AccessError(EIO)) { try image.zero(0..<10_000, mayTrim: true, onlyIfFast: true) }
        #expect(throws: AccessError(EIO)) { try image.trim(0..<10_000) }
        expectSame(contents(of: path), Array(pattern(10_000)[..<left]))
    }

    /// In an image that has become longer, what lies past its old size is left alone.
    @Test(arguments: [DirectMode.auto, .off])
    func grown(direct: DirectMode) throws {
        let path = scratch.file(pattern(5000))
        let image = try ImageFile(path: path, direct: direct)
        write(pattern(20_000), to: path)
        try image.writeOut(PageMemory(pattern(5000, salt: 1)), at: 0)
        expectSame(contents(of: path), pattern(5000, salt: 1) + pattern(20_000)[5000...])
        try image.zero(4500..<5000, mayTrim: true, onlyIfFast: false)
        try image.trim(4096..<5000)
        expectSame(contents(of: path)[5000...], pattern(20_000)[5000...])
    }

    /// A full filesystem is ENOSPC. Once there is space the same write succeeds, and nothing is missing.
    @Test(
        .enabled(if: Machine.canMountExt4, "no ext4 on a loop device here"), arguments: [DirectMode.auto, .off])
    func noSpace(direct: DirectMode) throws {
        let mount = try Mount(ext4: 8 << 20)
        let path = mount.scratch.hole(64 << 20)
        let image = try ImageFile(path: path, direct: direct)
        shell("dd if=/dev/zero of='\(mount.scratch("filler"))' bs=1M; sync '\(mount.scratch("filler"))'")
        let memory = PageMemory(pattern(1 << 20)) { 16 }
        let place: Int64 = 33 << 20
        #expect(throws: AccessError(ENOSPC)) { try image.writeOut(memory, at: place) }
        #expect(throws: AccessError(ENOSPC)) {
            try image.zero(place..<place + (1 << 20), mayTrim: false, onlyIfFast: false)
        }
        #expect(shell("rm '\(mount.scratch("filler"))'; sync -f '\(mount.scratch.directory)'").status == 0)
        try image.writeOut(memory, at: place)
        try image.makeDurable()
        let back = PageMemory(1 << 20)
        try image.populate(back, at: place)
        expectSame(back.bytes, pattern(1 << 20))
    }

    /// A block device whose size is no multiple of a page is written to its end. One that has shrunk gives EIO.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"), arguments: [DirectMode.auto, .off])
    func blockDevice(direct: DirectMode) throws {
        let size = (1 << 20) + 3 * 512
        let device = try LoopDevice(size: Int(size))
        let image = try ImageFile(path: device.node, direct: direct)
        try image.writeOut(PageMemory(pattern(size)) { 5 }, at: 0)
        try expectSame(image.allBytes()[..<size], pattern(size)[...])
        expectSame(contents(of: device.node), pattern(size))
        try image.makeDurable()
        expectSame(contents(of: device.backing), pattern(size))
        truncate(device.backing, to: 1 << 19)
        #expect(shell("losetup --set-capacity '\(device.node)'").status == 0)
        #expect(throws: AccessError(EIO)) { try image.writeOut(PageMemory(size), at: 0) }
    }

    /// An image that is written leaves nothing in the page cache once it is synced, with O_DIRECT or without.
    @Test(
        .enabled(if: Machine.hasDirect, "temporary files are not on a disk here"), arguments: [DirectMode.auto, .off])
    func nothingStaysBehind(direct: DirectMode) throws {
        let path = scratch.hole(8 << 20)
        let image = try ImageFile(path: path, direct: direct)
        try image.writeOut(PageMemory(pattern(8 << 20)) { 16 }, at: 0)
        try image.makeDurable()
        let descriptor = try FileDescriptor.open(path, .readOnly)
        defer { try! descriptor.close() }
        #expect(cachedPages(descriptor, 8 << 20) < 64)
        expectSame(contents(of: path), pattern(8 << 20))
    }

    /// Any thread may call anything at any time. Each has pages of its own, odd tail and neighbours' edges included,
    /// while others sync, ask for extents and read. All of it happens under a storm of signals whose handlers restart
    /// nothing.
    @Test(arguments: [DirectMode.auto, .off])
    func manyThreads(direct: DirectMode) throws {
        let pages = 64
        let size = pages * 4096 + 4 * 4096 + 1000
        let path = scratch.file(pattern(size))
        let image = try ImageFile(path: path, direct: direct)
        try image.beginWriting()
        let workers = (0..<5).map { worker in
            Worker {
                var random = SplitMix64(seed: UInt64(worker))
                var mine = Array(pattern(size)[worker * 14 * 4096..<min(size, (worker + 1) * 14 * 4096)])
                for _ in 0..<100 { try Self.change(image, worker * 14 * 4096, &mine, &random) }
                return mine
            }
        }
        for worker in workers { worker.start() }
        for _ in 0..<50 {
            for worker in workers { worker.interrupt() }
            _ = try? image.makeDurable()
            try image.extents(of: 0..<image.size) { _ in true }
        }
        let expected = try workers.flatMap { try $0.join() }
        image.endWriting()
        expectSame(contents(of: path), expected)
        try expectSame(image.allBytes()[..<size], expected[...])
    }

    /// One random change to the part of the image that begins at `start` and holds `bytes`.
    private static func change(
        _ image: ImageFile, _ start: Int, _ bytes: inout [UInt8], _ random: inout SplitMix64
    ) throws {
        if Bool.random(using: &random) {
            let page = Int.random(in: 0...(bytes.count - 1) / 4096, using: &random) * 4096
            let end = min(bytes.count, page + 8192)
            let new = pattern(end - page, salt: Int.random(in: 0..<1000, using: &random))
            bytes.replaceSubrange(page..<end, with: new)
            try image.writeOut(PageMemory(new), at: Int64(start + page))
        } else {
            let lower = Int.random(in: 0..<bytes.count, using: &random)
            let upper = Int.random(in: lower...bytes.count, using: &random)
            zero(&bytes, lower..<upper)
            let range = Int64(start + lower)..<Int64(start + upper)
            try image.zero(range, mayTrim: Bool.random(using: &random), onlyIfFast: false)
        }
        let back = PageMemory(bytes.count)
        try image.populate(back, at: Int64(start))
        if !begin(back.bytes, alike: bytes) { Issue.record("part at \(start) differs") }
    }
}
